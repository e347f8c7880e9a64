import type { Host } from '../agent/host.ts';
import { shortId } from '../engine/containers.ts';
import { isMetadataFull, parseDevicemapper } from '../host/storage.ts';
import { messageOf } from '../support/errors.ts';
import type { Log } from '../support/log.ts';
import { Concurrency } from './concurrency.ts';
import { isOldEnough, type Suspect } from './leaks.ts';
import { removeMany } from './remove-many.ts';
import { sweepRules, type RemovalEnd, type RemovalSummary } from './removal.ts';
import { createRemover, listLeaks, type Remove } from './remove.ts';

/**
 * A sweep: SWEEP_COUNT, SWEEP_AGE, SWEEP_TOTAL and SWEEP_FAILURES of the limits count here; the signal stops it after the
 * removal in progress.
 */
export interface Sweep extends Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log' | 'signal'> {
  /** Called before each removal: false stops the sweep, because a worker needs the engine more. */
  readonly mayGoOn?: () => Promise<boolean>;
  /** Called once, before the first removal, and only if there is something to remove. */
  readonly onFound?: (suspects: number) => Promise<void>;
}

export interface SweepResult {
  /** Helpers that looked leaked, and were old enough, when the sweep began. */
  readonly found: number;
  readonly removed: number;
  readonly failed: number;
  /** Of those found: still there, as far as we know. */
  readonly left: number;
  readonly end: RemovalEnd;
  /** The message about the last failure. */
  readonly originalMessage: string | undefined;
}

/**
 * Removes leaked helpers of the legacy entrypoint: a cleanup of SWEEP_COUNT, one at a time, oldest first. A host with 6,000
 * leaks is not cleaned at once: each start removes a part, so that a start does not become slow. Reports in one line. Never
 * throws: the agent must run even if the sweep fails.
 */
export async function sweepLeaks(sweep: Sweep): Promise<SweepResult> {
  const result = await sweepWithoutReport(sweep);
  report(sweep.log, result);
  return result;
}

async function sweepWithoutReport(sweep: Sweep): Promise<SweepResult> {
  const nothing = { found: 0, removed: 0, failed: 0, left: 0, originalMessage: undefined };
  const isStopped = (): boolean => sweep.signal.aborted;
  if (isStopped()) return { ...nothing, end: 'interrupted' };
  if (sweep.limits.SWEEP_COUNT === 0) return { ...nothing, end: 'count' };
  let found = 0;
  try {
    const suspects = await findOldLeaks(sweep);
    found = suspects.length;
    if (found === 0) return { ...nothing, end: 'all' };
    const full = await findFullPool(sweep);
    if (full !== undefined) return { ...nothing, found, left: found, end: 'storage', originalMessage: full };
    await sweep.onFound?.(found);
    return resultOf(found, await removeOneByOne(sweep, suspects));
  } catch (error) {
    const end = isStopped() ? 'interrupted' : 'error';
    return { ...nothing, found, left: found, end, originalMessage: messageOf(error) };
  }
}

async function findOldLeaks({ engine, names, clock, limits }: Sweep): Promise<readonly Suspect[]> {
  const listed = await listLeaks(engine, names);
  return listed.filter((suspect) => isOldEnough(suspect, { now: clock.now(), age: limits.SWEEP_AGE }));
}

/**
 * Each removal on a full pool leaves a dead container (invariant 10). Where the engine does not say, the first failure does.
 * @returns what is full; undefined if nothing is
 */
async function findFullPool({ engine, log }: Sweep): Promise<string | undefined> {
  try {
    const { storageDriver, driverStatus } = await engine.readInfo();
    const isFull = storageDriver === 'devicemapper' && isMetadataFull(parseDevicemapper(driverStatus));
    return isFull ? 'the metadata of the devicemapper pool is full: the pool is read-only' : undefined;
  } catch (error) {
    log.debug('the storage is unknown', { error: messageOf(error) });
    return undefined;
  }
}

async function removeOneByOne(sweep: Sweep, suspects: readonly Suspect[]): Promise<RemovalSummary> {
  const { limits, clock, log, signal, mayGoOn } = sweep;
  const remove = createRemover(sweep);
  const removeAndLog: Remove = async (suspect) => {
    const result = await remove(suspect);
    log.debug(`leaked helper ${shortId(suspect.container.id)}`, {
      helper: suspect.kind,
      result: result.kind,
      ...('originalMessage' in result ? { originalMessage: result.originalMessage } : {}),
    });
    return result;
  };
  return removeMany({
    suspects,
    remove: removeAndLog,
    rules: sweepRules(limits),
    limits,
    clock,
    signal,
    concurrency: new Concurrency(limits, 1),
    ...(mayGoOn === undefined ? {} : { mayGoOn }),
  });
}

function resultOf(
  found: number,
  { end, removed, failed, left, lastFailure, error }: RemovalSummary,
): SweepResult {
  return {
    found,
    removed,
    failed,
    left: left + failed,
    end,
    originalMessage: error === undefined ? lastFailure : messageOf(error),
  };
}

/** One line, if there is something to report. */
function report(log: Log, result: SweepResult): void {
  const { removed, failed, left, end, originalMessage } = result;
  if (failed > 0 || end === 'error' || end === 'storage')
    log.warn(describeSweep(result), {
      ...(originalMessage === undefined ? {} : { originalMessage }),
      hint: end === 'storage' ? hints.storage : hints.container,
    });
  else if (removed > 0 || left > 0) log.info(describeSweep(result));
  else log.debug('there are no leaked helpers of the legacy entrypoint to sweep');
}

const hints = {
  storage: 'see the runbook, "the storage is low"',
  container: 'see the runbook, "a container cannot be removed"',
};

/** A sweep in one sentence, for a person. */
export function describeSweep({ found, removed, failed, left, end }: SweepResult): string {
  if (end === 'error' && found === 0) {
    return 'could not list the leaked helpers of the legacy entrypoint; the next start tries again';
  }
  const helpers = removed === 1 ? 'helper' : 'helpers';
  const parts = [
    `removed ${removed} leaked ${helpers} of the legacy entrypoint, ${left === 0 ? 'none' : left} left`,
    failed === 0 ? '' : `, ${failed} could not be removed`,
    left === 0 ? '' : `; ${outlooks[end]}`,
  ];
  return parts.join('');
}

const outlooks: Readonly<Record<RemovalEnd, string>> = {
  all: 'the next start tries again',
  count: 'the next start goes on',
  time: 'the time for the sweep is up, the next start goes on',
  failures: 'too many failed in a row, the next start tries again',
  storage: 'the storage cannot take a change: nothing more is removed until there is room',
  busy: 'a worker needs the engine, the next start goes on',
  away: 'the engine does not answer, the next start goes on',
  interrupted: 'the sweep was interrupted, the next start goes on',
  error: 'the sweep could not continue, the next start goes on',
};
