import { readStatus } from '../../host/files/status.ts';
import { isDead } from '../../engine/containers.ts';
import type { Engine } from '../../engine/engine.ts';
import { isEngineError } from '../../engine/errors.ts';
import { deadlineIn, type Deadline } from '../../support/deadline.ts';
import { messageOf } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import { findManaged, type ManagedContainer } from '../identity/find-managed.ts';
import { isManaged } from '../identity/managed.ts';
import { isWorker } from '../worker/names/managed-worker.ts';

export interface Leftovers extends Pick<
  Host,
  'engine' | 'names' | 'limits' | 'clock' | 'log' | 'paths' | 'signal'
> {
  /** What a worker may be called here (`workerNames`), the usual names first. */
  readonly workers: readonly string[];
  /** Follows the worker that runs to its end; false if there was none. */
  readonly followWorker: () => Promise<boolean>;
  /** Has a worker reconcile what is left. */
  readonly reconcile: () => Promise<unknown>;
}

/**
 * At the start of an active agent: lets the worker that promoted it finish, has what an interrupted one left
 * reconciled, and removes the container that the server's script created for the upgrade (contract §5).
 */
export async function reconcileLeftovers(leftovers: Leftovers): Promise<void> {
  const { log } = leftovers;
  const hasFollowed = await leftovers.followWorker();
  const reason = await findReasonToReconcile(leftovers, hasFollowed);
  if (reason !== undefined) {
    log.info(`reconciling: ${reason}`);
    await leftovers.reconcile();
  }
  await removeUpgradeContainers(leftovers);
}

/**
 * While the agent is active: a worker and every caller that followed it may be killed, and then nobody asks for that upgrade
 * again. Looks rarely, and more rarely after each find, so that what cannot be reconciled is not tried for ever at one pace.
 * Stops when the signal is aborted.
 */
export async function keepHouse(leftovers: Leftovers): Promise<never> {
  const { limits, clock, signal, log } = leftovers;
  let due = limits.HOUSEKEEPING_TURNS;
  const unstarted = new Map<string, Deadline>();
  for (let turn = 1; ; turn += 1) {
    await clock.sleep(limits.HOUSEKEEPING, signal);
    try {
      // A spare name is rarely in use: it can wait.
      const isDue = turn >= due;
      const names = leftovers.workers.filter((name) => isDue || !/-\d$/.test(name));
      for (const name of names) await removeForgottenWorker(leftovers, name, unstarted);
      if (!isDue) continue;
      due = turn + ((await reconcileForgotten(leftovers)) ? 2 * turn : limits.HOUSEKEEPING_TURNS);
    } catch (error) {
      signal.throwIfAborted();
      log.debug('housekeeping failed; the next turn tries again', { error: messageOf(error) });
    }
  }
}

/**
 * A worker whose callers were all killed: on engines without AutoRemove one that has exited stays, and on every engine
 * one that was created and never started. How long ago that was is measured here: by the engine's time of its creation, a
 * clock set forward would take one for forgotten that is about to be started.
 * @param unstarted until when to wait for those that were seen before, by id
 */
async function removeForgottenWorker(
  { engine, limits, clock, log }: Leftovers,
  name: string,
  unstarted: Map<string, Deadline>,
): Promise<void> {
  const worker = await engine.inspectContainer(name);
  if (worker === undefined || !isWorker(worker)) return;
  const wait = unstarted.get(worker.id) ?? deadlineIn(limits.WORKER_UNSTARTED, clock);
  unstarted.set(worker.id, wait);
  const isForgotten = worker.state === 'created' && wait.left() === 0;
  if (worker.state !== 'exited' && !isForgotten) return;
  log.info(`removing ${name}`, { state: worker.state });
  await engine.removeContainer(worker.id, { force: false });
}

/** @returns whether there was something; dead containers that the state names do not count: they had their tries */
async function reconcileForgotten({ engine, names, log, paths, reconcile }: Leftovers): Promise<boolean> {
  const rest = await findManaged(engine, names, [...names.workers, ...names.nexts, ...names.previous]);
  const isAtWork = rest.some(({ name, state }) => names.workers.includes(name) && state === 'running');
  const known = await readUnremovable(paths);
  const isNews = ({ id, name }: ManagedContainer): boolean =>
    names.workers.includes(name) && !known.includes(id);
  const forgotten = rest.filter((container) => !isDead(container) || isNews(container));
  if (isAtWork || forgotten.length === 0) return false;
  log.info(`reconciling what was forgotten: ${forgotten.map(({ name }) => name).join(', ')}`);
  await reconcile();
  return true;
}

/** Ids of the containers that the state calls unremovable. A worker that dies as it exits is not among them. */
async function readUnremovable(paths: Leftovers['paths']): Promise<readonly string[]> {
  const reading = await readStatus(paths);
  return reading.kind === 'valid' ? (reading.status.unremovable ?? []).map(({ id }) => id) : [];
}

/**
 * Containers in a role other than the agent's, or a status that nobody is at work on any more. What a worker that has
 * just exited left behind, it left because it had to: trying again at once would only repeat it.
 */
async function findReasonToReconcile(
  leftovers: Leftovers,
  hasFollowed: boolean,
): Promise<string | undefined> {
  const { engine, names, paths } = leftovers;
  const reading = await readStatus(paths);
  const state = reading.kind === 'valid' ? reading.status.state : undefined;
  if (hasFollowed && state !== undefined && state !== 'working') return undefined;
  const rest = await findManaged(engine, names, [
    ...[...names.workers, names.deadWorker],
    ...[...names.nexts, ...names.previous],
  ]);
  const left = rest.filter((each) => isDead(each) || !names.workers.includes(each.name));
  if (left.length > 0) return `left over: ${left.map((container) => container.name).join(', ')}`;
  return state === 'working' || state === 'degraded' ? `the last work left the state "${state}"` : undefined;
}

/** One that still follows the worker exits in a moment anyway; one of a legacy entrypoint would delete us. */
async function removeUpgradeContainers(leftovers: Leftovers): Promise<void> {
  for (const name of leftovers.names.upgrades) {
    try {
      await removeWhenEnded(leftovers, name);
    } catch (error) {
      leftovers.signal.throwIfAborted();
      leftovers.log.warn(`${name} could not be removed; the next start tries again`, {
        error: messageOf(error),
      });
    }
  }
}

async function removeWhenEnded(leftovers: Leftovers, name: string): Promise<void> {
  const { engine, limits, clock, signal, log } = leftovers;
  const deadline = deadlineIn(limits.UPGRADE_CONTAINER_GRACE, clock);
  for (;;) {
    const container = await engine.inspectContainer(name);
    if (container === undefined || !isManaged(container)) return;
    // The process that has just created one is about to start it.
    const hasEnded = container.state === 'exited' || container.state === 'dead';
    if (hasEnded || deadline.left() === 0) {
      log.info(`removing ${name}`, { state: container.state });
      await removeOnce(engine, container.id);
      return;
    }
    await clock.sleep(limits.UPGRADE_CONTAINER_POLL, signal);
  }
}

async function removeOnce(engine: Engine, id: string): Promise<void> {
  try {
    await engine.removeContainer(id, { force: true });
  } catch (error) {
    // Somebody else, the server's script perhaps, is removing it already.
    if (!isEngineError(error, 'conflict')) throw error;
  }
}
