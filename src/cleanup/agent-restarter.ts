import { isDead } from '../engine/containers.ts';
import type { ContainerDetails, ContainerSpec, Engine } from '../engine/engine.ts';
import { isEngineError } from '../engine/errors.ts';
import type { Environment } from '../support/configuration.ts';
import { deadlineIn } from '../support/deadline.ts';
import { CannotChangeError, messageOf, TryAgainLaterError } from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import { usualSocket } from '../support/socket-path.ts';
import { doubling } from '../support/retry.ts';
import type { Host } from '../agent/host.ts';
import { isManaged, isManagedRestarter } from '../agent/identity/managed.ts';
import { allNamesTaken } from '../agent/identity/role-name-taken.ts';
import { labels, canStandBy, type RoleNames } from '../agent/identity/roles.ts';

/*
 * Stops an agent for the time of a cleanup. `docker stop` alone would leave the host without an agent if the cleanup is
 * killed, because a restart policy starts a stopped container again only when the engine itself starts. So the agent
 * restarter is created first. It is a small container with its own restart policy. It checks whether the cleanup's container
 * still runs; when that has exited, it starts the agent and removes itself. It is created before the agent is stopped, and
 * removed after the agent has been started. So if one of the two is killed, the other one starts the agent.
 */

/** RESTARTER_… and STOP_GRACE of the limits count here. */
export type RestarterView = Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log'>;

/** The agent to start again, and the container to wait for. */
export interface RestarterOrder {
  readonly agent: Pick<ContainerDetails, 'id' | 'name'>;
  /** The container of the cleanup. */
  readonly cleanup: Pick<ContainerDetails, 'id' | 'imageId'>;
  /** Settings for the agent restarter. */
  readonly environment: Environment;
  /** Where the engine's socket is on the host. */
  readonly hostSocket: string;
}

/** The active agent if it runs the legacy entrypoint: its loop is what leaks. Undefined if there is none. */
export async function findOldAgent(engine: Engine, names: RoleNames): Promise<ContainerDetails | undefined> {
  for (const name of [names.agent, ...names.legacyAgents]) {
    const found = await engine.inspectContainer(name);
    const isOld = found !== undefined && isManaged(found) && !canStandBy(found.labels);
    if (isOld && ['running', 'restarting'].includes(found.state)) return found;
  }
  return undefined;
}

/**
 * Stops the agent, with an agent restarter that starts it again even if this process is killed.
 * @throws TryAgainLaterError if another cleanup has an agent restarter; CannotChangeError if the agent cannot be stopped: then
 * it runs
 */
export async function stopWithRestarter(view: RestarterView, order: RestarterOrder): Promise<void> {
  const { engine, limits, log } = view;
  const restarter = await createRestarter(view, order);
  try {
    await engine.startContainer(restarter.id);
    await engine.stopContainer(order.agent.id, limits.STOP_GRACE);
    log.info(
      `stopped ${order.agent.name}; ${restarter.name} starts it again, even if this cleanup is killed`,
    );
  } catch (error) {
    await startAgain(view, order.agent.id);
    throw new CannotChangeError(`${order.agent.name} could not be stopped: ${messageOf(error)}`, {
      hint: 'run cleanup without --stop-agent: what leaks meanwhile is left for the next run',
      cause: error,
    });
  }
}

/**
 * Starts the agent again and removes the agent restarter. If another container has got the agent's name meanwhile, such as
 * the new agent of an upgrade, nothing is started.
 * @returns whether an agent runs under that name. If not, the agent restarter is still there and tries again
 */
export async function startAgain(view: RestarterView, agentId: string): Promise<boolean> {
  const { names, log, engine } = view;
  try {
    const name = await startIfStillAgent(view, agentId);
    log.info(`${name} runs again`);
    await removeRestarter(view);
    return true;
  } catch (error) {
    const restarters = await findRestarters(engine, names).catch(() => []);
    const name = restarters.find(({ state }) => state === 'running')?.name;
    log.error('the agent could not be started again', {
      error: messageOf(error),
      hint:
        name === undefined ? `docker start ${names.agent}` : `${name} tries again: docker logs -f ${name}`,
    });
    return false;
  }
}

/**
 * What the agent restarter's container runs.
 * @param ids of the agent, of the cleanup's container and of the agent restarter's own, which removes itself at the end
 * @param signal stops it; the engine then starts it again, as its restart policy says
 */
export async function restartAgent(
  view: RestarterView,
  ids: { readonly agent: string; readonly cleanup: string; readonly own: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { clock, limits, log } = view;
  await awaitExit(view, ids.cleanup, signal);
  log.info('the cleanup has exited without starting the agent again: starting it now');
  const pause = doubling(limits.RESTARTER_PAUSE_MIN, limits.RESTARTER_PAUSE_MAX);
  const deadline = deadlineIn(limits.RESTARTER_TOTAL, clock);
  for (let tries = 1; deadline.left() > 0; tries += 1) {
    try {
      log.info(`${await startIfStillAgent(view, ids.agent)} runs again`);
      await removeSelf(view, ids.own);
      return;
    } catch (error) {
      signal.throwIfAborted();
      log.warn('the agent could not be started', { error: messageOf(error) });
      await clock.sleep(pause(tries), signal);
    }
  }
  throw new CannotChangeError('the agent could not be started', {
    hint: `docker start ${view.names.agent}`,
  });
}

/**
 * Waits until the cleanup's container has exited, or for RESTARTER_TOTAL: a cleanup that hangs must not keep a host without
 * an agent.
 */
async function awaitExit(
  { engine, clock, limits }: RestarterView,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const deadline = deadlineIn(limits.RESTARTER_TOTAL, clock);
  while (deadline.left() > 0) {
    try {
      const state = (await engine.inspectContainer(id))?.state;
      if (state !== 'running' && state !== 'paused' && state !== 'restarting') return;
    } catch {
      // The engine does not answer: the state is unknown, and nothing could be started.
    }
    await clock.sleep(limits.RESTARTER_POLL, signal);
  }
}

/** @returns the name under which an agent runs */
async function startIfStillAgent({ engine, names }: RestarterView, id: string): Promise<string> {
  const found = await engine.inspectContainer(id);
  const hasActiveName = found !== undefined && [names.agent, ...names.legacyAgents].includes(found.name);
  if (!hasActiveName) {
    const other = await engine.inspectContainer(names.agent);
    if (other !== undefined && isManaged(other)) return other.name;
    if (found === undefined) throw new Error('it is gone, and there is no other agent');
    // An upgrade has parked it. The worker of the upgrade continues, or the standby agent starts a worker that reconciles
    // the host.
    return found.name;
  }
  await engine.startContainer(id);
  return found.name;
}

async function createRestarter(
  view: RestarterView,
  order: RestarterOrder,
): Promise<{ readonly id: string; readonly name: string }> {
  const name = await findFreeName(view);
  try {
    return { id: await view.engine.createContainer(name, buildRestarterSpec(order)), name };
  } catch (error) {
    if (isEngineError(error, 'conflict')) throw heldByAnother(name);
    throw error;
  }
}

/**
 * The first name that is free, or becomes free because its agent restarter does not run any more. An unmanaged or a dead
 * container keeps its name.
 */
async function findFreeName({ engine, names }: RestarterView): Promise<string> {
  const left = await findRestarters(engine, names);
  const running = left.find(({ state }) => ['running', 'restarting', 'paused'].includes(state));
  if (running !== undefined) throw heldByAnother(running.name);
  const holders: ContainerDetails[] = [];
  for (const name of names.restarters) {
    const found = await engine.inspectContainer(name);
    if (found === undefined) return name;
    if (isManagedRestarter(found) && !isDead(found)) {
      await engine.removeContainer(found.id, { force: false });
      return name;
    }
    holders.push(found);
  }
  throw allNamesTaken('create the agent restarter', holders);
}

/** The agent restarters on this host: there is one, unless a cleanup could not remove it. */
async function findRestarters(engine: Engine, names: RoleNames): Promise<readonly ContainerDetails[]> {
  const found = await Promise.all(names.restarters.map(async (name) => engine.inspectContainer(name)));
  return found.filter((each): each is ContainerDetails => each !== undefined && isManagedRestarter(each));
}

function heldByAnother(name: string): TryAgainLaterError {
  return new TryAgainLaterError(`another cleanup has stopped the agent: ${name} is running`, {
    hint: 'run cleanup without --stop-agent, which may run beside the other one, or wait for it',
  });
}

async function removeRestarter({ engine, names, log }: RestarterView): Promise<void> {
  try {
    for (const restarter of await findRestarters(engine, names)) {
      await engine.removeContainer(restarter.id, { force: true });
    }
  } catch (error) {
    // When the cleanup has exited, it finds that the agent runs, and removes itself.
    log.debug('the agent restarter could not be removed', { error: messageOf(error) });
  }
}

/** By force, because it runs: the engine stops this process in the middle of the call. */
async function removeSelf({ engine }: RestarterView, own: string | undefined): Promise<void> {
  if (own === undefined) return;
  await engine.setRestartPolicy(own, 'no');
  await engine.removeContainer(own, { force: true });
}

/**
 * It has only the engine's socket of the host, and no other privileges; the engine starts it again if it exits. The socket is
 * as good as root, so the profiles of SELinux and seccomp would protect nothing, and they may keep it from working: SELinux
 * denies the socket, and the seccomp profiles of old engines deny new system calls.
 */
export function buildRestarterSpec({
  agent,
  cleanup,
  environment,
  hostSocket,
}: RestarterOrder): ContainerSpec {
  return {
    image: cleanup.imageId,
    command: ['agent-restarter', agent.id, cleanup.id],
    // Its image may name another engine.
    environment: { ...environment, DOCKER_HOST: `unix://${usualSocket}` },
    labels: { [labels.role]: 'agent-restarter' },
    restart: 'always',
    autoRemove: false,
    privileged: false,
    securityOptions: [
      ['label', 'disable'],
      ['seccomp', 'unconfined'],
    ],
    memoryBytes: fixedLimits.RESTARTER_MEMORY,
    pidsLimit: fixedLimits.RESTARTER_PIDS,
    hostNetwork: false,
    hostPid: false,
    binds: [`${hostSocket}:${usualSocket}`],
  };
}
