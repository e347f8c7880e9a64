import type { ContainerDetails, ContainerSpec, Engine } from '../engine/engine.ts';
import { isEngineError } from '../engine/errors.ts';
import type { Clock } from '../support/clock.ts';
import type { Environment } from '../support/configuration.ts';
import { deadlineIn } from '../support/deadline.ts';
import { CannotChangeError, messageOf, TryAgainLaterError } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import { doubling } from '../support/retry.ts';
import { isAgentContainer, labels, canStandBy, type RoleNames } from '../agent/identity/roles.ts';

/*
 * Stops an agent for the time of a clean-up. `docker stop` alone would leave the host without an agent if the clean-up
 * is killed: its restart policy brings back what was stopped only when the engine itself starts again. So the agent restarter comes
 * first: a small container with a restart policy of its own, which looks whether the clean-up's container still runs and,
 * as soon as it doesn't, starts the agent and removes itself. It exists before the agent is stopped, and goes after
 * the agent has been started: whatever is killed in between, one of the two starts the agent.
 */

export interface RestarterView {
  readonly engine: Engine;
  readonly names: RoleNames;
  /** RESTARTER_… and STOP_GRACE count here. */
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
}

/** Who is to be started again, and as long as whose container runs it is not. */
export interface RestarterOrder {
  readonly agent: Pick<ContainerDetails, 'id' | 'name'>;
  /** The container of the clean-up. */
  readonly cleanup: Pick<ContainerDetails, 'id' | 'imageId'>;
  /** Settings for the agent restarter. */
  readonly environment: Environment;
}

/** An agent in office that runs an entrypoint older than this one: its loop is what leaks. Undefined if there is none. */
export async function findOldAgent(engine: Engine, names: RoleNames): Promise<ContainerDetails | undefined> {
  for (const name of [names.agent, ...names.legacyAgents]) {
    const found = await engine.inspectContainer(name);
    const isOld = found !== undefined && isAgentContainer(found) && !canStandBy(found.labels);
    if (isOld && ['running', 'restarting'].includes(found.state)) return found;
  }
  return undefined;
}

/**
 * Stops the agent, with an agent restarter that starts it again whatever becomes of us.
 * @throws TryAgainLaterError if another clean-up has an agent restarter; CannotChangeError if the agent can't be stopped: it then runs
 */
export async function stopWithRestarter(view: RestarterView, order: RestarterOrder): Promise<void> {
  const { engine, limits, log } = view;
  const restarter = await createRestarter(view, order);
  try {
    await engine.startContainer(restarter);
    await engine.stopContainer(order.agent.id, limits.STOP_GRACE);
    log.info(`stopped ${order.agent.name}; ${view.names.restarter} starts it again whatever happens`);
  } catch (error) {
    await startAgain(view, order.agent.id);
    throw new CannotChangeError(`${order.agent.name} could not be stopped: ${messageOf(error)}`, {
      hint: 'go on without --stop-agent: what leaks meanwhile is left for the next run',
      cause: error,
    });
  }
}

/**
 * Starts the agent again and has the agent restarter removed. Whoever was given its name meanwhile, an upgrade's new agent perhaps,
 * is left alone.
 * @returns whether an agent runs under that name. If not, the agent restarter is still there, and goes on trying
 */
export async function startAgain(view: RestarterView, agentId: string): Promise<boolean> {
  const { names, log, engine } = view;
  try {
    const name = await startIfStillAgent(view, agentId);
    log.info(`${name} runs again`);
    await removeRestarter(view);
    return true;
  } catch (error) {
    const restarter = await engine.inspectContainer(names.restarter).catch(() => undefined);
    log.error('the agent could not be started again', {
      error: messageOf(error),
      hint:
        restarter?.state === 'running'
          ? `${names.restarter} goes on trying: docker logs -f ${names.restarter}`
          : `docker start ${names.agent}`,
    });
    return false;
  }
}

/**
 * What the agent restarter's container runs.
 * @param own id of the agent restarter's own container, to remove it in the end
 * @param signal its end: the engine starts it again if the policy says so
 */
export async function restartAgent(
  view: RestarterView,
  ids: { readonly agent: string; readonly cleanup: string; readonly own: string | undefined },
  signal: AbortSignal,
): Promise<void> {
  const { clock, limits, log } = view;
  await awaitEnd(view, ids.cleanup, signal);
  log.info('the clean-up has ended without starting the agent again: doing it now');
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

/** Until the clean-up's container has ended, or for RESTARTER_TOTAL: one that hangs must not keep a host without its agent. */
async function awaitEnd(
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
      // An engine that doesn't answer: nobody knows, and nothing could be started.
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
    if (other !== undefined) return other.name;
    if (found === undefined) throw new Error('it is gone, and there is no other one');
    // Set aside by an upgrade, which goes on, or whose remains are settled by who stands by.
    return found.name;
  }
  await engine.startContainer(id);
  return found.name;
}

async function createRestarter(view: RestarterView, order: RestarterOrder): Promise<string> {
  const { engine, names } = view;
  const found = await engine.inspectContainer(names.restarter);
  if (found !== undefined) await clearAway(view, found);
  try {
    return await engine.createContainer(names.restarter, buildRestarterSpec(order));
  } catch (error) {
    if (isEngineError(error, 'conflict')) throw heldByAnother(names);
    throw error;
  }
}

/** One that doesn't run any more keeps nobody. */
async function clearAway({ engine, names }: RestarterView, found: ContainerDetails): Promise<void> {
  const isOurs = found.labels[labels.role] === 'agent-restarter';
  if (isOurs && ['running', 'restarting', 'paused'].includes(found.state)) throw heldByAnother(names);
  if (!isOurs) {
    throw new CannotChangeError(`the container ${found.name} has our name but is not ours`, {
      hint: `docker rename ${found.name} NEW_NAME`,
    });
  }
  await engine.removeContainer(found.id, { force: false });
}

function heldByAnother(names: RoleNames): TryAgainLaterError {
  return new TryAgainLaterError(`another clean-up has stopped the agent: ${names.restarter} is at work`, {
    hint: 'clean up without --stop-agent, which may go on beside the other one, or wait for it',
  });
}

async function removeRestarter({ engine, names, log }: RestarterView): Promise<void> {
  try {
    const restarter = await engine.inspectContainer(names.restarter);
    if (restarter?.labels[labels.role] === 'agent-restarter')
      await engine.removeContainer(restarter.id, { force: true });
  } catch (error) {
    // It finds the agent running when we have ended, and removes itself.
    log.debug(`${names.restarter} could not be removed`, { error: messageOf(error) });
  }
}

/** By force, since it runs: the engine ends us in the middle of this call. */
async function removeSelf({ engine }: RestarterView, own: string | undefined): Promise<void> {
  if (own === undefined) return;
  await engine.setRestartPolicy(own, 'no');
  await engine.removeContainer(own, { force: true });
}

/** Sees nothing of the host but the engine's socket; the engine brings it back if it dies. */
export function buildRestarterSpec({ agent, cleanup, environment }: RestarterOrder): ContainerSpec {
  return {
    image: cleanup.imageId,
    command: ['agent-restarter', agent.id, cleanup.id],
    environment,
    labels: { [labels.role]: 'agent-restarter' },
    restart: 'always',
    autoRemove: false,
    privileged: true,
    hostNetwork: false,
    hostPid: false,
    binds: ['/var/run/docker.sock:/var/run/docker.sock'],
  };
}
