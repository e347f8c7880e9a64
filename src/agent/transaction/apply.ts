import { restartPolicies, type ContainerSpec } from '../../engine/engine.ts';
import { describeContainer } from '../../engine/containers.ts';
import { isEngineError, isStorageRefusal, isWorthRetrying, type EngineError } from '../../engine/errors.ts';
import { InterruptedError, messageOf } from '../../support/errors.ts';
import { doubling, retry } from '../../support/retry.ts';
import type { Holder } from './mount-holders.ts';
import { DownloadFailsError, NotReadyError } from './not-ready.ts';
import type { Observed } from './observe.ts';
import { isUp } from './situation.ts';
import type { Step } from './steps.ts';
import { keepLastLog, watch, type WatchContext } from './watch.ts';
import type { RoleNames } from '../identity/roles.ts';
import { isOwn, ownContainerError } from './unmanaged.ts';

export interface ApplyContext extends WatchContext {
  readonly history: WatchContext['history'] & {
    /** Ids that have proven that they can serve, with the start that has. */
    readonly ready: Map<string, string | undefined>;
    readonly bootstraps: Map<string, 'proven' | 'keep-parked'>;
  };
  readonly names: RoleNames;
  readonly nextSpec?: ContainerSpec;
  readonly interrupted: AbortSignal;
  /** Ids of the containers in which we and our caller run. */
  readonly own?: readonly string[];
  /** Finds the processes that hold the mounts of a container that could not be removed. */
  readonly holdersOf?: (container: Observed) => Promise<readonly Holder[]>;
  /**
   * Waits until a next agent has proven that it can serve, or may be promoted without that. Left out: it is watched for STANDBY.
   * @returns the start that may be promoted (`Observed.start`); undefined: the one that was observed
   * @throws when it may not be promoted: NotReadyError, TryAgainLaterError, HoldError
   */
  readonly awaitReady?: (next: Observed) => Promise<string | undefined>;
  /**
   * Watches the bootstrap of an agent that was promoted. Left out: nothing is watched.
   * @throws BootstrapFailsError or DownloadFailsError when the parked agent should come back
   */
  readonly watchBootstrap?: (agent: Observed) => Promise<'proven' | 'keep-parked'>;
}

/** A managed container that should be gone and is still there. */
export interface UnremovableContainer {
  readonly id: string;
  readonly name: string;
  /** The engine's message when it could not be removed. */
  readonly originalMessage: string;
  /** Who holds its mounts, if anybody does. */
  readonly holders?: readonly Holder[];
}

/**
 * A container could not be removed after a limited number of tries. It fails nothing: the transaction notes it and
 * continues. From the note, `judgeTransaction` derives the state `degraded` and the exit status 73.
 */
export class UnremovableError extends Error {
  readonly container: UnremovableContainer;

  constructor(container: UnremovableContainer) {
    super(`${container.name} cannot be removed: ${container.originalMessage}`);
    this.name = 'UnremovableError';
    this.container = container;
  }
}

/**
 * Does one step. Every step may be repeated: a change that was already done counts as success.
 * @throws CannotChangeError for a step that would stop, remove or rename the container in which we or our caller run
 */
export async function performStep(step: Step, context: ApplyContext): Promise<void> {
  const { engine, names, limits, log } = context;
  requireOthers(step, context.own ?? []);
  switch (step.do) {
    case 'create-next':
      return createNext(names.nexts[step.nextIndex] ?? names.next, context);
    case 'start':
      log.info(`starting ${describeContainer(step.container)}`);
      return engine.startContainer(step.container.id);
    case 'standby':
      return watch(step.container, limits.STANDBY, context, context.interrupted);
    case 'ready':
      return proveReady(step.container, context);
    case 'stop':
      await keepOverReboots(step.container, context);
      log.info(`stopping ${describeContainer(step.container)}`);
      return engine.stopContainer(step.container.id, limits.STOP_GRACE);
    case 'park':
      return rename(step.container, names.previous[step.parkedIndex] ?? names.agent, context);
    case 'promote':
      return rename(step.container, names.agent, context);
    case 'demote':
      return rename(step.container, nameAfterDemotion(step, names), context);
    case 'verify':
      log.info(`watching ${describeContainer(step.container)}`, { for: `${limits.VERIFY / 1000} s` });
      return watch(step.container, limits.VERIFY, context, hurry(context.interrupted));
    case 'watch':
      return watchBootstrap(step.container, context);
    case 'restore-policy':
      return restorePolicy(step.container, step.policy, context);
    case 'discard':
      return discard(step.container, context);
    case 'done':
    case 'fail':
      return;
  }
}

/** The last guard, whatever the plan says: no step may stop or rename the container in which this work runs. */
function requireOthers(step: Step, own: readonly string[]): void {
  if (!('container' in step) || !isOwn(step.container, own)) return;
  if (!harmless.includes(step.do)) throw ownContainerError(step.container);
}

/** Steps that neither stop, remove nor rename a container. */
const harmless: readonly Step['do'][] = [
  'fail',
  'verify',
  'watch',
  'standby',
  'ready',
  'start',
  'restore-policy',
];

async function proveReady(next: Observed, context: ApplyContext): Promise<void> {
  let start: string | undefined;
  if (context.awaitReady === undefined)
    await watch(next, context.limits.STANDBY, context, context.interrupted);
  else {
    context.log.info(`waiting until ${describeContainer(next)} has proven that it can serve`);
    start = await keepingLog(next, context, async () => context.awaitReady?.(next));
  }
  if (!context.history.rejected.has(next.id)) context.history.ready.set(next.id, start ?? next.start);
}

async function watchBootstrap(agent: Observed, context: ApplyContext): Promise<void> {
  const parked = await keepingLog(agent, context, async () => context.watchBootstrap?.(agent));
  context.history.bootstraps.set(agent.id, parked ?? 'proven');
}

/** An agent that fails is removed soon, so its last log lines are read before that. */
async function keepingLog<T>(container: Observed, context: ApplyContext, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const hasLog = error instanceof NotReadyError || error instanceof DownloadFailsError;
    if (hasLog) await keepLastLog(container, context);
    throw error;
  }
}

/**
 * Sets the restart policy `always` of an agent that is about to be parked, so that it starts again after a power cut. A
 * label of the next agent keeps the former policy for a rollback.
 */
async function keepOverReboots(container: Observed, { engine }: ApplyContext): Promise<void> {
  const policy = container.restartPolicy ?? '';
  if (policy === '' || policy === 'always' || container.removalStarted || !container.managed) return;
  await engine.setRestartPolicy(container.id, 'always');
}

async function restorePolicy(agent: Observed, policy: string, context: ApplyContext): Promise<void> {
  const known = restartPolicies.find((each) => each === policy);
  context.log.info(`giving ${describeContainer(agent)} its restart policy back`, { policy });
  await context.engine.setRestartPolicy(agent.id, known ?? 'always');
}

function nameAfterDemotion(step: Step & { do: 'demote' }, names: RoleNames): string {
  const name = 'nextIndex' in step ? names.nexts[step.nextIndex] : names.previous[step.parkedIndex];
  return name ?? names.next;
}

async function createNext(name: string, context: ApplyContext): Promise<void> {
  const { engine, nextSpec, log } = context;
  if (nextSpec === undefined) throw new Error('a replacement needs a specification of the next agent');
  log.info(`creating ${name} from ${nextSpec.image}`);
  await engine.createContainer(name, nextSpec);
}

/** Docker 20.10 answers 404 to a rename while a container restarts: its network sandbox is not found. */
function isBetweenStarts(container: Observed, error: EngineError): boolean {
  if (/sandbox \S+ not found/i.test(error.originalMessage)) return true;
  return container.state === 'restarting' && error.kind === 'failed';
}

/**
 * An engine that did not answer may still have done the rename: before our inspection, during it (the engine then finds the
 * container by its old name and returns the new one), or after it.
 */
async function rename(container: Observed, to: string, context: ApplyContext): Promise<void> {
  if (container.name === to) return;
  const { engine, limits, log } = context;
  log.info(`renaming ${describeContainer(container)} to ${to}`);
  try {
    await engine.renameContainer(container.id, to);
  } catch (error) {
    if (!isEngineError(error)) throw error;
    if (/same name as its current name/i.test(error.originalMessage)) return;
    if (!isBetweenStarts(container, error)) throw error;
    log.warn(`${container.name} restarts and cannot be renamed meanwhile: stopping it first`, {
      error: error.originalMessage,
    });
    await engine.stopContainer(container.id, limits.STOP_GRACE);
    await engine.renameContainer(container.id, to);
  }
}

/**
 * Only a signal leaves no time to watch an active agent to the end. Rolling back for a lost lock (its disk may be
 * unresponsive) would stop the agent that runs and start one that perhaps cannot.
 */
function hurry(interrupted: AbortSignal): AbortSignal {
  const hurrying = new AbortController();
  const onAbort = (): void => {
    if (interrupted.reason instanceof InterruptedError) hurrying.abort(interrupted.reason);
  };
  if (interrupted.aborted) onAbort();
  else interrupted.addEventListener('abort', onAbort, { once: true });
  return hurrying.signal;
}

/**
 * Removes a container: turns its restart policy off, stops it, then tries to remove it a limited number of times. Never by
 * force: an old engine would then forget the container and leave its files behind (engine-notes §3). A dead container of an
 * earlier run gets a single try.
 */
async function discard(container: Observed, context: ApplyContext): Promise<void> {
  const { engine, limits, log, clock, interrupted } = context;
  log.info(`removing ${describeContainer(container)}`);
  const policy = {
    what: `remove ${container.name}`,
    tries: container.state === 'dead' ? 1 : limits.REMOVE_TRIES,
    pause: doubling(limits.REMOVE_PAUSE_MIN, limits.REMOVE_PAUSE_MAX),
    total: limits.REMOVE_TOTAL,
    // A second try on a sick storage would make it sicker (invariant 10).
    worthRetrying: (error: Error) =>
      !interrupted.aborted &&
      isWorthRetrying(error) &&
      !(isEngineError(error) && isStorageRefusal(error.originalMessage)),
    clock,
    log,
    ...(interrupted.aborted ? {} : { signal: interrupted }),
  };
  let isQuiet = container.isDead;
  try {
    await retry(policy, async () => {
      if (!isQuiet) await quiet(container, context);
      isQuiet = true;
      await engine.removeContainer(container.id, { force: false });
    });
  } catch (error) {
    if (isEngineError(error, 'not-found')) return;
    if (interrupted.aborted && error === interrupted.reason) throw error;
    const originalMessage = isEngineError(error) ? error.originalMessage : messageOf(error);
    // After a signal there is no time to search for the reason.
    const holders = interrupted.aborted ? [] : ((await context.holdersOf?.(container)) ?? []);
    const { id, name } = container;
    throw new UnremovableError({ id, name, originalMessage, ...(holders.length === 0 ? {} : { holders }) });
  }
}

/** Turns its restart policy off, so that it does not start again after a power cut, and stops it. */
async function quiet(container: Observed, context: ApplyContext): Promise<void> {
  const { engine, limits } = context;
  try {
    await engine.setRestartPolicy(container.id, 'no');
  } catch (error) {
    // An engine refuses this for a container that it has begun to remove: the removal itself then shows what is wrong.
    if (!isEngineError(error)) throw error;
  }
  if (isUp(container)) await engine.stopContainer(container.id, limits.STOP_GRACE);
}
