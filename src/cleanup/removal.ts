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
  /** Called before removals begin: false stops the run, because a worker needs the engine more. */
  readonly mayGoOn?: () => Promise<boolean>;
  /** For a run that survives a restart of the engine; without it, the run fails if the engine does not answer. */
  readonly patience?: Patience;
  /** Called after each removal, and when the run begins or stops to wait for the engine. */
  readonly onProgress?: (progress: RemovalProgress) => void;
}

/** When a run gives up. */
export interface RemovalRules {
  /** The most removals to try; those that turn out not to be leaks do not count. */
  readonly most: number;
  readonly failuresInARow: number;
  /** Tries for one container. */
  readonly tries: number;
  /** For all of them, in ms. */
  readonly total: number;
}

/** What a run needs to wait for an engine, and to slow down for a worker. */
export interface Patience {
  /** Sends a small request to the engine. @throws when it does not answer */
  readonly probe: () => Promise<unknown>;
  /** Stops the engine calls in progress: after a signal they have CLEANUP_GRACE to finish. */
  readonly abandon: (reason: Error) => void;
  /** Whether a worker runs: it needs the engine more. Asked every CLEANUP_GLANCE. */
  readonly isWorkerRunning: () => Promise<boolean>;
  /** Whether the storage has room, so that several removals may run at a time. Asked every CLEANUP_SPACE while it had none. */
  readonly hasRoom: () => Promise<boolean>;
}

export interface RemovalProgress {
  readonly total: number;
  /** Removed, failed, or found not to be a leak. */
  readonly done: number;
  readonly failed: number;
  readonly inProgress: number;
  readonly waiting: 'engine' | 'worker' | undefined;
}

/** Why a run is over. */
export type RemovalEnd =
  /** Nothing was left to try. */
  | 'all'
  /** It has tried as many removals as it may. */
  | 'count'
  | 'time'
  /** Too many in a row failed. */
  | 'failures'
  /** The storage cannot take a change. */
  | 'storage'
  /** A worker needs the engine. */
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
  /** Those that turned out not to be leaks, and why. */
  readonly kept: ReadonlyMap<KeepReason, number>;
  /** Not tried, or the result is unknown. */
  readonly left: number;
  readonly ms: number;
  readonly error: Error | undefined;
}

/** A cleanup removes all, and tries a removal again if its failure may be temporary. */
export function cleanupRules(limits: Limits): RemovalRules {
  return {
    most: Number.POSITIVE_INFINITY,
    failuresInARow: limits.CLEANUP_FAILURES,
    tries: limits.CLEANUP_TRIES,
    total: Number.POSITIVE_INFINITY,
  };
}

/** A sweep removes a part: the next start of the agent continues. */
export function sweepRules(limits: Limits): RemovalRules {
  return {
    most: limits.SWEEP_COUNT,
    failuresInARow: limits.SWEEP_FAILURES,
    tries: 1,
    total: limits.SWEEP_TOTAL,
  };
}
