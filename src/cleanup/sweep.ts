import type { RoleNames } from '../agent/identity/roles.ts';
import type { Engine } from '../engine/engine.ts';
import type { Clock } from '../support/clock.ts';
import { deadlineIn } from '../support/deadline.ts';
import { messageOf } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import { isOldEnough, type Suspect } from './leaks.ts';
import { createImageLabels, listSuspects, removeSuspect, type Fate } from './remove.ts';

export interface Sweep {
  readonly engine: Engine;
  readonly names: RoleNames;
  /** SWEEP_COUNT, SWEEP_AGE, SWEEP_TOTAL and SWEEP_FAILURES count here. */
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends the sweep behind the removal in hand. */
  readonly signal: AbortSignal;
  /** Asked before each removal: false ends the sweep, because somebody else needs the engine more. */
  readonly mayGoOn?: () => Promise<boolean>;
  /** Told once, before the first removal, and only if there is something to remove. */
  readonly onFound?: (suspects: number) => Promise<void>;
}

/** Why a sweep ended. */
export type SweepEnd =
  /** Nothing was left to try. */
  | 'all'
  | 'count'
  | 'time'
  /** Too many removals in a row failed. */
  | 'failures'
  /** Somebody else needed the engine. */
  | 'busy'
  | 'interrupted'
  /** The engine could not be asked. */
  | 'trouble';

export interface SweepResult {
  /** What looked like a leaked helper, old enough, when the sweep began. */
  readonly found: number;
  readonly swept: number;
  readonly failed: number;
  /** Of those found: still there, as far as we know. */
  readonly left: number;
  readonly end: SweepEnd;
  /** About the last failure, in the engine's own words. */
  readonly originalMessage: string | undefined;
}

/**
 * Removes leaked helpers of older entrypoints: a bounded number, one at a time, oldest first. A host that leaked 6,000
 * is not cleaned in one go: each start does its part, and a start must not suffer from it. Says in one line what it did.
 * Never throws: whatever goes wrong here is no reason for an agent not to run.
 */
export async function sweepLeaks(sweep: Sweep): Promise<SweepResult> {
  const tally: Tally = { found: 0, swept: 0, failed: 0, cleared: 0, originalMessage: undefined };
  const end = sweep.signal.aborted ? 'interrupted' : await sweepCounting(sweep, tally);
  const { cleared, ...counts } = tally;
  const result = { ...counts, left: tally.found - tally.swept - cleared, end };
  tell(sweep.log, result);
  return result;
}

interface Tally {
  found: number;
  swept: number;
  failed: number;
  /** Turned out to be no leaked helpers, or gone. */
  cleared: number;
  originalMessage: string | undefined;
}

async function sweepCounting(sweep: Sweep, tally: Tally): Promise<SweepEnd> {
  const { engine, names, limits, clock, signal } = sweep;
  if (limits.SWEEP_COUNT === 0) return 'count';
  try {
    const listed = await listSuspects(engine, names);
    const suspects = listed.filter((suspect) =>
      isOldEnough(suspect, { now: clock.now(), age: limits.SWEEP_AGE }),
    );
    tally.found = suspects.length;
    if (suspects.length > 0) await sweep.onFound?.(suspects.length);
    return await removeInTurn(sweep, suspects, tally);
  } catch (error) {
    tally.originalMessage = messageOf(error);
    return signal.aborted ? 'interrupted' : 'trouble';
  }
}

async function removeInTurn(sweep: Sweep, suspects: readonly Suspect[], tally: Tally): Promise<SweepEnd> {
  const { engine, names, limits, clock, log, signal } = sweep;
  const deadline = deadlineIn(limits.SWEEP_TOTAL, clock);
  const imageLabels = createImageLabels(engine);
  let failedInARow = 0;
  for (const suspect of suspects) {
    if (signal.aborted) return 'interrupted';
    if (tally.swept + tally.failed >= limits.SWEEP_COUNT) return 'count';
    if (failedInARow >= limits.SWEEP_FAILURES) return 'failures';
    if (deadline.left() === 0) return 'time';
    if (!((await sweep.mayGoOn?.()) ?? true)) return 'busy';
    const rules = { names, now: clock.now(), age: limits.SWEEP_AGE };
    const fate = await removeSuspect(engine, suspect, rules, imageLabels);
    count(tally, fate);
    if (fate.kind === 'failed' || fate.kind === 'unanswered') failedInARow += 1;
    else if (fate.kind === 'removed') failedInARow = 0;
    const originalMessage = 'originalMessage' in fate ? { originalMessage: fate.originalMessage } : {};
    log.debug(`leaked helper ${suspect.container.id.slice(0, 12)}`, {
      helper: suspect.kind,
      fate: fate.kind,
      ...originalMessage,
    });
  }
  return 'all';
}

function count(tally: Tally, fate: Fate): void {
  switch (fate.kind) {
    case 'removed':
      tally.swept += 1;
      return;
    case 'kept':
      tally.cleared += 1;
      return;
    case 'failed':
    case 'unanswered':
      tally.failed += 1;
      tally.originalMessage = fate.originalMessage;
  }
}

/** One line, if there is something to say. */
function tell(log: Log, result: SweepResult): void {
  const isTrouble = result.failed > 0 || result.end === 'trouble';
  const originalMessage =
    result.originalMessage === undefined ? {} : { originalMessage: result.originalMessage };
  if (isTrouble)
    log.warn(describeSweep(result), {
      ...originalMessage,
      hint: 'see the runbook, "a container cannot be removed"',
    });
  else if (result.swept > 0 || result.left > 0) log.info(describeSweep(result));
  else log.debug('there are no leaked helpers of older entrypoints to sweep');
}

/** A sweep in one sentence, for a person. */
export function describeSweep({ found, swept, failed, left, end }: SweepResult): string {
  if (end === 'trouble' && found === 0) {
    return 'could not look for leaked helpers of older entrypoints; the next start tries again';
  }
  const parts = [
    `swept ${swept} leaked ${swept === 1 ? 'helper' : 'helpers'} of older entrypoints, ${left === 0 ? 'none' : left} left`,
    failed === 0 ? '' : `, ${failed} could not be removed`,
    left === 0 ? '' : `; ${outlooks[end]}`,
  ];
  return parts.join('');
}

const outlooks: Readonly<Record<SweepEnd, string>> = {
  all: 'the next start tries again',
  count: 'the next start goes on',
  time: 'the time for it was up, the next start goes on',
  failures: 'too many failed in a row, the next start tries again',
  busy: 'a worker needs the engine, the next start goes on',
  interrupted: 'it was stopped, the next start goes on',
  trouble: 'the engine could not be asked any more, the next start goes on',
};
