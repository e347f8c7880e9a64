import type { Clock } from '../support/clock.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { FailureGroup } from './causes.ts';
import type { Concurrency } from './concurrency.ts';
import type { KeepReason, Suspect } from './leaks.ts';
import type { Remove } from './remove.ts';

/** What `removeMany` is to remove, and how. */
export interface Removal {
  /** In the order in which they are to be removed. */
  readonly suspects: readonly Suspect[];
  /** Inspects one again and removes it. One try. */
  readonly remove: Remove;
  readonly rules: RemovalRules;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly concurrency: Concurrency;
  /** No removal begins after it; those in progress may finish. */
  readonly signal: AbortSignal;
  /** Asked before removals begin: false ends all of it, because somebody else needs the engine more. */
  readonly mayGoOn?: () => Promise<boolean>;
  /** For a run that outlives a restart of the engine; without it an engine that does not answer has failed. */
  readonly patience?: Patience;
  /** Called after each removal, and when the run begins or stops to wait for the engine. */
  readonly onProgress?: (progress: RemovalProgress) => void;
}

/** When a run gives up. */
export interface RemovalRules {
  /** Removals tried at most, those not counted that turn out to be no leaks. */
  readonly most: number;
  readonly failuresInARow: number;
  /** Tries for one container. */
  readonly tries: number;
  /** For all of them, in ms. */
  readonly total: number;
}

/** What a run needs to wait for an engine, and to give way to a worker. */
export interface Patience {
  /** A small question to the engine. @throws when it does not answer */
  readonly probe: () => Promise<unknown>;
  /** Ends the engine calls in progress: after a signal they have CLEANUP_GRACE to finish. */
  readonly abandon: (reason: Error) => void;
  /** Whether a worker runs: it needs the engine more. Asked every CLEANUP_GLANCE. */
  readonly isWorkerRunning: () => Promise<boolean>;
}

export interface RemovalProgress {
  readonly total: number;
  /** Removed, failed, or found to be no leak. */
  readonly done: number;
  readonly failed: number;
  readonly inProgress: number;
  readonly waiting: 'engine' | 'worker' | undefined;
}

/** Why a run ended. */
export type RemovalEnd =
  /** Nothing was left to try. */
  | 'all'
  /** As many as it may remove. */
  | 'count'
  | 'time'
  /** Too many in a row failed. */
  | 'failures'
  /** Somebody else needs the engine. */
  | 'busy'
  /** The engine has not answered for too long. */
  | 'away'
  | 'interrupted'
  /** Something else failed: see `error`. */
  | 'error';

export interface RemovalSummary {
  readonly end: RemovalEnd;
  readonly removed: number;
  /** Of a dry run: those that a cleanup would remove. */
  readonly wouldRemove: readonly Suspect[];
  readonly failed: number;
  readonly failures: readonly FailureGroup[];
  /** The engine's message about the last failure. */
  readonly lastFailure: string | undefined;
  /** Those that turned out to be no leaks, and why. */
  readonly kept: ReadonlyMap<KeepReason, number>;
  /** Not tried, or nobody knows the result. */
  readonly left: number;
  readonly ms: number;
  readonly error: Error | undefined;
}

/** A cleanup removes all, and tries once more what may have been a passing trouble. */
export function cleanupRules(limits: Limits): RemovalRules {
  return {
    most: Number.POSITIVE_INFINITY,
    failuresInARow: limits.CLEANUP_FAILURES,
    tries: limits.CLEANUP_TRIES,
    total: Number.POSITIVE_INFINITY,
  };
}

/** A sweep does its part: the next start of the agent goes on. */
export function sweepRules(limits: Limits): RemovalRules {
  return {
    most: limits.SWEEP_COUNT,
    failuresInARow: limits.SWEEP_FAILURES,
    tries: 1,
    total: limits.SWEEP_TOTAL,
  };
}
