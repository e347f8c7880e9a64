import type { Clock } from '../support/clock.ts';
import { DeadlineError, untilAborted } from '../support/deadline.ts';
import type { Limits } from '../support/limits/limits.ts';
import { doubling } from '../support/retry.ts';
import { causeOf, type FailureCause } from './causes.ts';
import type { Innocence } from './leaks.ts';
import type { Pace } from './concurrency.ts';
import type { Fate } from './remove.ts';

/*
 * Removes many containers: several at a time, as the engine takes it (`Pace`), and ends in a bounded time whatever happens
 * to the engine. Keeps nothing on disk: what is there is what is left to do, so a run that was killed is followed by
 * one that looks again. Two at once do no harm either: who comes second finds a container gone.
 */

/** One container to be removed. */
export interface Job {
  readonly id: string;
  /** Judges it once more and removes it. One try. */
  readonly remove: () => Promise<Fate>;
}

export interface Cleanup {
  readonly jobs: readonly Job[];
  readonly limits: Limits;
  readonly clock: Clock;
  readonly pace: Pace;
  /** No removal begins any more; those in hand have CLEANUP_GRACE to end. */
  readonly signal: AbortSignal;
  /** Ends the engine calls in hand. */
  readonly abandon: (reason: Error) => void;
  /** A small question to the engine. @throws when it doesn't answer */
  readonly probe: () => Promise<unknown>;
  /** Whether a worker is at work: it needs the engine more. Asked every CLEANUP_GLANCE. */
  readonly isWorkerRunning: () => Promise<boolean>;
  /** Told after each removal, and when waiting for the engine begins or ends. */
  readonly onProgress: (progress: CleanupProgress) => void;
}

export interface CleanupProgress {
  readonly total: number;
  readonly removed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Removals in hand. */
  readonly inHand: number;
  readonly waiting: 'engine' | 'worker' | undefined;
}

/** Why a clean-up ended. */
export type CleanupEnd =
  /** Nothing was left to try. */
  | 'all'
  /** Too many in a row failed. */
  | 'failures'
  /** The engine has not answered for too long. */
  | 'away'
  | 'interrupted';

export interface CleanupFailure {
  readonly id: string;
  readonly cause: FailureCause;
  /** In the engine's own words. */
  readonly originalMessage: string;
}

export interface CleanupResult {
  readonly end: CleanupEnd;
  readonly removed: number;
  readonly failures: readonly CleanupFailure[];
  /** Those that turned out to be no leaked helpers, and why. */
  readonly skipped: ReadonlyMap<Innocence, number>;
  /** Not tried, or what became of them isn't known. */
  readonly left: number;
  readonly ms: number;
}

/** Removes all of them, or as many as can be. Never throws for what an engine does; NotPermittedError passes. */
export async function cleanUp(cleanup: Cleanup): Promise<CleanupResult> {
  return new Run(cleanup).go();
}

interface Entry extends Job {
  /** Tries that the engine answered with no, or not in time. */
  tries: number;
}

class Run {
  readonly #cleanup: Cleanup;
  readonly #begun: number;
  readonly #queue: Entry[];
  readonly #total: number;
  readonly #inHand = new Set<Promise<void>>();
  /** Ends the wait for one of those in hand. One for all: a race of 50 promises a removal costs more than the removal. */
  #oneHasEnded: () => void = () => undefined;
  readonly #failures = new Map<string, CleanupFailure>();
  readonly #skipped = new Map<Innocence, number>();
  #removed = 0;
  #failedInARow = 0;
  /** Somebody got no answer: the engine itself is asked before anything else begins. */
  #doubtful = false;
  #waiting: CleanupProgress['waiting'];
  #lastGlance = Number.NEGATIVE_INFINITY;
  #defect: Error | undefined;

  constructor(cleanup: Cleanup) {
    this.#cleanup = cleanup;
    this.#begun = cleanup.clock.elapsed();
    this.#queue = cleanup.jobs.map((job) => ({ ...job, tries: 0 }));
    this.#total = this.#queue.length;
  }

  async go(): Promise<CleanupResult> {
    const endWait = (): void => {
      this.#oneHasEnded();
    };
    this.#cleanup.signal.addEventListener('abort', endWait, { once: true });
    try {
      return await this.#removeAll();
    } finally {
      this.#cleanup.signal.removeEventListener('abort', endWait);
    }
  }

  async #removeAll(): Promise<CleanupResult> {
    // Bounded: each turn ends a removal or waits for an engine that may be away for CLEANUP_AWAY, and each entry has
    // CLEANUP_TRIES.
    for (;;) {
      const end = await this.#turn();
      if (end === undefined) continue;
      await this.#finishInHand();
      if (this.#defect !== undefined) throw this.#defect;
      return this.#conclude(end);
    }
  }

  /** @returns why it has ended; undefined while it goes on */
  async #turn(): Promise<CleanupEnd | undefined> {
    const { pace, signal, limits } = this.#cleanup;
    if (signal.aborted) return 'interrupted';
    if (this.#defect !== undefined || this.#failedInARow >= limits.CLEANUP_FAILURES) return 'failures';
    if (this.#doubtful && this.#inHand.size === 0 && !(await this.#awaitEngine())) {
      return this.#isStopped() ? 'interrupted' : 'away';
    }
    await this.#glance();
    while (!this.#doubtful && this.#inHand.size < pace.parallel) {
      const entry = this.#queue.shift();
      if (entry === undefined) break;
      this.#begin(entry);
    }
    if (this.#inHand.size > 0) await this.#awaitOne();
    return this.#inHand.size === 0 && this.#queue.length === 0 ? 'all' : undefined;
  }

  #begin(entry: Entry): void {
    const { clock, pace, signal } = this.#cleanup;
    const begun = clock.elapsed();
    const work = entry
      .remove()
      .then((fate) => {
        if (fate.kind !== 'unanswered') pace.took(clock.elapsed() - begun);
        this.#reconcile(entry, fate);
      })
      .catch((error: unknown) => {
        // Abandoned: the engine goes on with it, or not. The next run looks.
        if (!signal.aborted) this.#defect = error instanceof Error ? error : new Error(String(error));
      })
      .finally(() => {
        this.#inHand.delete(work);
        this.#tell();
        this.#oneHasEnded();
      });
    this.#inHand.add(work);
  }

  #reconcile(entry: Entry, fate: Fate): void {
    this.#failures.delete(entry.id);
    switch (fate.kind) {
      case 'removed':
        this.#removed += 1;
        this.#failedInARow = 0;
        return;
      case 'kept':
        this.#skipped.set(fate.because, (this.#skipped.get(fate.because) ?? 0) + 1);
        return;
      case 'failed':
        this.#failedInARow += 1;
        this.#fail(entry, causeOf(fate.originalMessage), fate.originalMessage);
        return;
      case 'unanswered':
        this.#doubtful = true;
        this.#cleanup.pace.unanswered();
        // A connection that was refused or cut says nothing about this one; a deadline may be its own fault.
        if (fate.error.cause instanceof DeadlineError) this.#fail(entry, 'unanswered', fate.originalMessage);
        else this.#queue.unshift(entry);
    }
  }

  /** Once more when all others have been tried, if that may help; else it stands as it is. */
  #fail(entry: Entry, cause: FailureCause, originalMessage: string): void {
    entry.tries += 1;
    this.#failures.set(entry.id, { id: entry.id, cause, originalMessage });
    const mayPass = cause === 'held' || cause === 'unanswered';
    if (mayPass && entry.tries < this.#cleanup.limits.CLEANUP_TRIES) this.#queue.push(entry);
  }

  /** @returns whether the engine answers again */
  async #awaitEngine(): Promise<boolean> {
    const { clock, limits, probe, signal } = this.#cleanup;
    const pause = doubling(limits.CALL_PAUSE, limits.CLEANUP_GLANCE);
    const begun = clock.elapsed();
    this.#wait('engine');
    for (let tries = 1; !this.#isStopped(); tries += 1) {
      try {
        await this.#unlessStopped(probe());
        this.#doubtful = false;
        this.#wait(undefined);
        return true;
      } catch {
        // Asked again below, for as long as an engine that restarts may take.
      }
      if (clock.elapsed() - begun >= limits.CLEANUP_AWAY) return false;
      await clock.sleep(pause(tries), signal).catch(() => undefined);
    }
    return false;
  }

  /** Gives way to a worker: one at a time while it is at work. */
  async #glance(): Promise<void> {
    const { clock, limits, pace, isWorkerRunning } = this.#cleanup;
    if (this.#doubtful || clock.elapsed() - this.#lastGlance < limits.CLEANUP_GLANCE) return;
    this.#lastGlance = clock.elapsed();
    const isBusy = await this.#unlessStopped(isWorkerRunning()).catch(() => false);
    pace.hold(isBusy);
    this.#wait(isBusy ? 'worker' : undefined);
  }

  /** Waits until one in hand has ended, or until a signal comes. */
  async #awaitOne(): Promise<void> {
    if (this.#isStopped()) return;
    await new Promise<void>((resolve) => {
      this.#oneHasEnded = resolve;
    });
  }

  async #unlessStopped<T>(work: Promise<T>): Promise<T> {
    return untilAborted(work, this.#cleanup.signal);
  }

  async #finishInHand(): Promise<void> {
    if (this.#inHand.size === 0) return;
    const { clock, limits, abandon } = this.#cleanup;
    const all = Promise.all(this.#inHand);
    const over = new AbortController();
    const grace = clock.sleep(limits.CLEANUP_GRACE, over.signal).then(
      () => {
        if (this.#isStopped()) abandon(new Error('the time for removals in hand is up'));
      },
      () => undefined,
    );
    // Without a signal each of them ends at its own deadline.
    await Promise.race([all, grace]);
    await all;
    over.abort();
  }

  #isStopped(): boolean {
    return this.#cleanup.signal.aborted;
  }

  #wait(waiting: CleanupProgress['waiting']): void {
    if (this.#waiting === waiting) return;
    this.#waiting = waiting;
    this.#tell();
  }

  #tell(): void {
    this.#cleanup.onProgress({
      total: this.#total,
      removed: this.#removed,
      failed: this.#failures.size,
      skipped: this.#countSkipped(),
      inHand: this.#inHand.size,
      waiting: this.#waiting,
    });
  }

  #countSkipped(): number {
    return [...this.#skipped.values()].reduce((sum, count) => sum + count, 0);
  }

  #conclude(end: CleanupEnd): CleanupResult {
    const settled = this.#removed + this.#failures.size + this.#countSkipped();
    return {
      end,
      removed: this.#removed,
      failures: [...this.#failures.values()],
      skipped: this.#skipped,
      left: this.#total - settled,
      ms: this.#cleanup.clock.elapsed() - this.#begun,
    };
  }
}
