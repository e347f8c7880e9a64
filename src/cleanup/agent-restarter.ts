import type { ContainerDetails, ContainerSpec, Engine } from '../engine/engine.ts';
import { isEngineError } from '../engine/errors.ts';
import type { Clock } from '../support/clock.ts';
import type { Environment } from '../support/configuration.ts';
import { deadlineIn } from '../support/deadline.ts';
import { CannotChangeError, messageOf, TryAgainLaterError } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import { doubling } from '../support/retry.ts';
import { isAgentContainer, labels, standsBy, type RoleNames } from '../agent/identity/roles.ts';

/*
 * Stops an agent for the time of a clean-up. `docker stop` alone would leave the host without an agent if the clean-up
 * is killed: its restart policy brings back what was stopped only when the engine itself starts again. So the keeper comes
 * first: a small container with a restart policy of its own, which looks whether the clean-up's container still runs and,
 * as soon as it doesn't, starts the agent and removes itself. It exists before the agent is stopped, and goes after
 * the agent has been started: whatever is killed in between, one of the two starts the agent.
 */

export interface KeeperView {
  readonly engine: Engine;
  readonly names: RoleNames;
  /** KEEPER_…, STOP_GRACE and REMOVE_PAUSE_MIN count here. */
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who is to be started again, and as long as whose container runs it is not. */
export interface KeeperOrder {
  readonly agent: Pick<ContainerDetails, 'id' | 'name'>;
  /** The container of the clean-up. */
  readonly cleanup: Pick<ContainerDetails, 'id' | 'imageId'>;
  /** Settings for the keeper. */
  readonly environment: Environment;
}

/** An agent in office that runs an entrypoint older than this one: its loop is what leaks. Undefined if there is none. */
export async function findOldAgent(engine: Engine, names: RoleNames): Promise<ContainerDetails | undefined> {
  for (const name of [names.agent, ...names.legacyAgents]) {
    const found = await engine.inspectContainer(name);
    const isOld = found !== undefined && isAgentContainer(found) && !standsBy(found.labels);
    if (isOld && ['running', 'restarting'].includes(found.state)) return found;
  }
  return undefined;
}

/**
 * Stops the agent, with a keeper that starts it again whatever becomes of us.
 * @throws TryAgainLaterError if another clean-up has a keeper; CannotChangeError if the agent can't be stopped: it then runs
 */
export async function stopWithKeeper(view: KeeperView, order: KeeperOrder): Promise<void> {
  const { engine, limits, log } = view;
  const keeper = await makeKeeper(view, order);
  try {
    await engine.startContainer(keeper);
    await engine.stopContainer(order.agent.id, limits.STOP_GRACE);
    log.info(`stopped ${order.agent.name}; ${view.names.keeper} starts it again whatever happens`);
  } catch (error) {
    await startAgain(view, order.agent.id);
    throw new CannotChangeError(`${order.agent.name} could not be stopped: ${messageOf(error)}`, {
      hint: 'go on without --stop-agent: what leaks meanwhile is left for the next run',
      cause: error,
    });
  }
}

/**
 * Starts the agent again and has the keeper removed. Whoever was given its name meanwhile, an upgrade's new agent perhaps,
 * is left alone.
 * @returns whether an agent runs under that name. If not, the keeper is still there, and goes on trying
 */
export async function startAgain(view: KeeperView, agentId: string): Promise<boolean> {
  const { names, log, engine } = view;
  try {
    const name = await startIfStillAgent(view, agentId);
    log.info(`${name} runs again`);
    await removeKeeper(view);
    return true;
  } catch (error) {
    const keeper = await engine.inspectContainer(names.keeper).catch(() => undefined);
    log.error('the agent could not be started again', {
      error: messageOf(error),
      hint:
        keeper?.state === 'running'
          ? `${names.keeper} goes on trying: docker logs -f ${names.keeper}`
          : `docker start ${names.agent}`,
    });
    return false;
  }
}

/**
 * What the keeper's container runs.
 * @param own id of the keeper's own container, to remove it in the end
 * @param signal its end: the engine starts it again if the policy says so
 */
export async function keepAgent(
  view: KeeperView,
  ids: { readonly agent: string; readonly cleanup: string; readonly own: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { clock, limits, log } = view;
  await awaitEnd(view, ids.cleanup, signal);
  log.info('the clean-up has ended without starting the agent again: doing it now');
  const pause = doubling(limits.REMOVE_PAUSE_MIN, limits.KEEPER_PAUSE_MAX);
  const deadline = deadlineIn(limits.KEEPER_TOTAL, clock);
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

/** Until the clean-up's container has ended, or for KEEPER_TOTAL: one that hangs must not keep a host without its agent. */
async function awaitEnd(
  { engine, clock, limits }: KeeperView,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const deadline = deadlineIn(limits.KEEPER_TOTAL, clock);
  while (deadline.left() > 0) {
    try {
      const state = (await engine.inspectContainer(id))?.state;
      if (state !== 'running' && state !== 'paused' && state !== 'restarting') return;
    } catch {
      // An engine that doesn't answer: nobody knows, and nothing could be started.
    }
    await clock.sleep(limits.KEEPER_POLL, signal);
  }
}

/** @returns the name under which an agent runs */
async function startIfStillAgent({ engine, names }: KeeperView, id: string): Promise<string> {
  const found = await engine.inspectContainer(id);
  const hasOffice = found !== undefined && [names.agent, ...names.legacyAgents].includes(found.name);
  if (!hasOffice) {
    const other = await engine.inspectContainer(names.agent);
    if (other !== undefined) return other.name;
    if (found === undefined) throw new Error('it is gone, and there is no other one');
    // Set aside by an upgrade, which goes on, or whose remains are settled by who stands by.
    return found.name;
  }
  await engine.startContainer(id);
  return found.name;
}

async function makeKeeper(view: KeeperView, order: KeeperOrder): Promise<string> {
  const { engine, names } = view;
  const found = await engine.inspectContainer(names.keeper);
  if (found !== undefined) await clearAway(view, found);
  try {
    return await engine.createContainer(names.keeper, buildKeeperSpec(order));
  } catch (error) {
    if (isEngineError(error, 'conflict')) throw heldByAnother(names);
    throw error;
  }
}

/** One that doesn't run any more keeps nobody. */
async function clearAway({ engine, names }: KeeperView, found: ContainerDetails): Promise<void> {
  const isOurs = found.labels[labels.role] === 'keeper';
  if (isOurs && ['running', 'restarting', 'paused'].includes(found.state)) throw heldByAnother(names);
  if (!isOurs) {
    throw new CannotChangeError(`the container ${found.name} has our name but is not ours`, {
      hint: `docker rename ${found.name} NEW_NAME`,
    });
  }
  await engine.removeContainer(found.id, { force: false });
}

function heldByAnother(names: RoleNames): TryAgainLaterError {
  return new TryAgainLaterError(`another clean-up has stopped the agent: ${names.keeper} is at work`, {
    hint: 'clean up without --stop-agent, which may go on beside the other one, or wait for it',
  });
}

async function removeKeeper({ engine, names, log }: KeeperView): Promise<void> {
  try {
    const keeper = await engine.inspectContainer(names.keeper);
    if (keeper?.labels[labels.role] === 'keeper') await engine.removeContainer(keeper.id, { force: true });
  } catch (error) {
    // It finds the agent running when we have ended, and removes itself.
    log.debug(`${names.keeper} could not be removed`, { error: messageOf(error) });
  }
}

/** By force, since it runs: the engine ends us in the middle of this call. */
async function removeSelf({ engine }: KeeperView, own: string | undefined): Promise<void> {
  if (own === undefined) return;
  await engine.setRestartPolicy(own, 'no');
  await engine.removeContainer(own, { force: true });
}

/** Sees nothing of the host but the engine's socket; the engine brings it back if it dies. */
export function buildKeeperSpec({ agent, cleanup, environment }: KeeperOrder): ContainerSpec {
  return {
    image: cleanup.imageId,
    command: ['keeper', agent.id, cleanup.id],
    environment,
    labels: { [labels.role]: 'keeper' },
    restart: 'always',
    autoRemove: false,
    privileged: true,
    hostNetwork: false,
    hostPid: false,
    binds: ['/var/run/docker.sock:/var/run/docker.sock'],
  };
}
