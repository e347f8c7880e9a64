import { deadlineIn, DeadlineError, untilAborted, type Deadline } from '../support/deadline.ts';
import { doubling } from '../support/retry.ts';
import { causeOf, groupFailures, isStorageSick, type Failure, type FailureCause } from './causes.ts';
import type { KeepReason, Suspect } from './leaks.ts';
import type { Removal, RemovalEnd, RemovalProgress, RemovalSummary } from './removal.ts';
import type { RemovalResult } from './remove.ts';

/*
 * Removes many containers, and finishes in a limited time whatever happens to the engine. A cleanup removes several at a
 * time, as many as the engine can do (`Concurrency`), and waits for an engine that restarts. A sweep removes 50, one at a
 * time, and stops at the first sign of a problem. Neither keeps anything on disk: after a kill, the next run lists the
 * containers again. Two runs at the same time do no harm: the second one finds a container already removed.
 */

/** Removes all of them, or as many as the rules allow. Never throws: an error that is not the engine's is in the summary. */
export async function removeMany(removal: Removal): Promise<RemovalSummary> {
  return new Run(removal).go();
}

class Run {
  readonly #removal: Removal;
  readonly #begun: number;
  readonly #deadline: Deadline;
  readonly #queue: Suspect[];
  readonly #tries = new Map<string, number>();
  readonly #inProgress = new Set<Promise<void>>();
  /**
   * Ends the wait for one of the removals in progress. One for all of them: a race of 50 promises for each removal would
   * cost more than the removal.
   */
  #oneHasEnded: () => void = () => undefined;
  readonly #failures = new Map<string, Failure>();
  readonly #kept = new Map<KeepReason, number>();
  readonly #wouldRemove: Suspect[] = [];
  #removed = 0;
  #failedInARow = 0;
  #lastFailure: string | undefined;
  /** A removal got no answer: the engine itself is asked before anything else begins. */
  #doubtful = false;
  /** Times in a row that it was asked and answered, and that the next removals got no answer again. */
  #outages = 0;
  #isStorageSick = false;
  #lastSpace: number;
  #waiting: RemovalProgress['waiting'];
  #lastGlance = Number.NEGATIVE_INFINITY;
  #error: Error | undefined;

  constructor(removal: Removal) {
    this.#removal = removal;
    this.#begun = removal.clock.elapsed();
    // The caller has just looked.
    this.#lastSpace = this.#begun;
    this.#deadline = deadlineIn(removal.rules.total, removal.clock);
    this.#queue = [...removal.suspects];
  }

  async go(): Promise<RemovalSummary> {
    const endWait = (): void => {
      this.#oneHasEnded();
    };
    this.#removal.signal.addEventListener('abort', endWait, { once: true });
    try {
      return await this.#removeAll();
    } finally {
      this.#removal.signal.removeEventListener('abort', endWait);
    }
  }

  async #removeAll(): Promise<RemovalSummary> {
    // Limited: each turn finishes a removal, or waits for an engine that may be away for CLEANUP_AWAY, and each container
    // has a limited number of tries.
    for (;;) {
      const end = await this.#turn();
      if (end === undefined) continue;
      await this.#finishInProgress();
      return this.#conclude(end);
    }
  }

  /** @returns why the run is over; undefined while it continues */
  async #turn(): Promise<RemovalEnd | undefined> {
    const end = (await this.#reasonToStop()) ?? (await this.#awaitEngine());
    if (end !== undefined) return end;
    await this.#glance();
    while (!this.#doubtful && this.#inProgress.size < this.#removal.concurrency.parallel) {
      const suspect = this.#queue.shift();
      if (suspect === undefined) break;
      this.#begin(suspect);
    }
    if (this.#inProgress.size > 0) await this.#awaitOne();
    return this.#inProgress.size === 0 && this.#queue.length === 0 && this.#error === undefined
      ? 'all'
      : undefined;
  }

  async #reasonToStop(): Promise<RemovalEnd | undefined> {
    const { rules, mayGoOn } = this.#removal;
    if (this.#isStopped()) return 'interrupted';
    if (this.#error !== undefined) return 'error';
    if (this.#isStorageSick) return 'storage';
    const isMore = this.#queue.length > 0;
    if (isMore && this.#removed + this.#failures.size >= rules.most) return 'count';
    if (this.#failedInARow >= rules.failuresInARow) return 'failures';
    if (!isMore) return undefined;
    if (this.#deadline.left() === 0) return 'time';
    if (mayGoOn === undefined) return undefined;
    try {
      return (await mayGoOn()) ? undefined : 'busy';
    } catch (error) {
      if (this.#isStopped()) return 'interrupted';
      this.#error = asError(error);
      return 'error';
    }
  }

  #begin(suspect: Suspect): void {
    const { clock, concurrency, remove, signal } = this.#removal;
    const begun = clock.elapsed();
    const work = remove(suspect)
      .then((result) => {
        if (result.kind !== 'unanswered') concurrency.took(clock.elapsed() - begun);
        this.#count(suspect, result);
      })
      .catch((error: unknown) => {
        // Abandoned: the engine may finish it or not. The next run lists again.
        if (!signal.aborted) this.#error = asError(error);
      })
      .finally(() => {
        this.#inProgress.delete(work);
        this.#report();
        this.#oneHasEnded();
      });
    this.#inProgress.add(work);
  }

  #count(suspect: Suspect, result: RemovalResult): void {
    this.#failures.delete(suspect.container.id);
    switch (result.kind) {
      case 'removed':
        this.#removed += 1;
        this.#failedInARow = 0;
        this.#outages = 0;
        return;
      case 'would-remove':
        this.#wouldRemove.push(suspect);
        return;
      case 'kept':
        this.#kept.set(result.reason, (this.#kept.get(result.reason) ?? 0) + 1);
        return;
      case 'failed':
        this.#failedInARow += 1;
        this.#fail(suspect, causeOf(result.originalMessage), result.originalMessage);
        return;
      case 'unanswered':
        this.#countUnanswered(suspect, result);
    }
  }

  /**
   * Every removal without an answer counts, for its container and in a row: each may have left a call in the engine. Those that
   * a restart of the engine has cut off together count once in a row, and have not failed before their last try.
   */
  #countUnanswered(suspect: Suspect, result: Extract<RemovalResult, { kind: 'unanswered' }>): void {
    const { patience, concurrency, rules } = this.#removal;
    concurrency.unanswered();
    const isCut = patience !== undefined && !(result.error.cause instanceof DeadlineError);
    if (!isCut || !this.#doubtful) this.#failedInARow += 1;
    if (patience !== undefined && !this.#doubtful) {
      this.#doubtful = true;
      this.#outages += 1;
    }
    if (isCut && this.#triesOf(suspect) + 1 < rules.tries) {
      this.#tries.set(suspect.container.id, this.#triesOf(suspect) + 1);
      this.#queue.push(suspect);
    } else this.#fail(suspect, 'unanswered', result.originalMessage);
  }

  #triesOf({ container }: Suspect): number {
    return this.#tries.get(container.id) ?? 0;
  }

  /** Tries it again after all others, if that may help; otherwise it has failed. */
  #fail(suspect: Suspect, cause: FailureCause, originalMessage: string): void {
    const { id } = suspect.container;
    const tries = this.#triesOf(suspect) + 1;
    this.#tries.set(id, tries);
    this.#failures.set(id, { id, cause, originalMessage });
    this.#lastFailure = originalMessage;
    if (isStorageSick(cause)) this.#isStorageSick = true;
    const mayPass = cause === 'held' || cause === 'unanswered';
    if (mayPass && tries < this.#removal.rules.tries) this.#queue.push(suspect);
  }

  /** Waits for an engine that has not answered a removal. @returns why the run is over, if it does not answer again */
  async #awaitEngine(): Promise<'interrupted' | 'away' | undefined> {
    const { clock, limits, patience, signal } = this.#removal;
    if (!this.#doubtful || this.#inProgress.size > 0 || patience === undefined) return undefined;
    const pause = doubling(limits.CALL_PAUSE, limits.CLEANUP_GLANCE);
    const begun = clock.elapsed();
    this.#wait('engine');
    for (let tries = 1; !this.#isStopped(); tries += 1) {
      try {
        await untilAborted(patience.probe(), signal);
        // It answers this and not a removal: it gets time before the next one.
        await clock.sleep(pause(this.#outages), signal);
        this.#doubtful = false;
        this.#wait(undefined);
        return undefined;
      } catch {
        // Asked again below, for as long as an engine that restarts may take.
      }
      if (this.#isStopped()) break;
      if (clock.elapsed() - begun >= limits.CLEANUP_AWAY) break;
      await clock.sleep(pause(tries), signal).catch(() => undefined);
    }
    return this.#isStopped() ? 'interrupted' : 'away';
  }

  /** Removes one at a time while a worker runs. */
  async #glance(): Promise<void> {
    const { clock, limits, concurrency, patience, signal } = this.#removal;
    if (this.#doubtful || patience === undefined) return;
    if (clock.elapsed() - this.#lastGlance < limits.CLEANUP_GLANCE) return;
    this.#lastGlance = clock.elapsed();
    const isBusy = await untilAborted(patience.isWorkerRunning(), signal).catch(() => false);
    concurrency.hold(isBusy);
    this.#wait(isBusy ? 'worker' : undefined);
    if (!concurrency.isNarrow || clock.elapsed() - this.#lastSpace < limits.CLEANUP_SPACE) return;
    this.#lastSpace = clock.elapsed();
    if (await untilAborted(patience.hasRoom(), signal).catch(() => false)) concurrency.widen();
  }

  /** Waits until one removal in progress has finished, or until a signal comes. */
  async #awaitOne(): Promise<void> {
    if (this.#isStopped()) return;
    await new Promise<void>((resolve) => {
      this.#oneHasEnded = resolve;
    });
  }

  async #finishInProgress(): Promise<void> {
    const { clock, limits, patience } = this.#removal;
    const all = Promise.all(this.#inProgress);
    if (this.#inProgress.size === 0 || patience === undefined) {
      await all;
      return;
    }
    const over = new AbortController();
    const grace = clock.sleep(limits.CLEANUP_GRACE, over.signal).then(
      () => {
        if (this.#isStopped()) patience.abandon(new Error('the time for removals in progress is up'));
      },
      () => undefined,
    );
    // Without a signal, each of them stops at its own deadline.
    await Promise.race([all, grace]);
    await all;
    over.abort();
  }

  #isStopped(): boolean {
    return this.#removal.signal.aborted;
  }

  #wait(waiting: RemovalProgress['waiting']): void {
    if (this.#waiting === waiting) return;
    this.#waiting = waiting;
    this.#report();
  }

  #report(): void {
    this.#removal.onProgress?.({
      total: this.#removal.suspects.length,
      done: this.#countDone(),
      failed: this.#failures.size,
      inProgress: this.#inProgress.size,
      waiting: this.#waiting,
    });
  }

  #countDone(): number {
    const kept = [...this.#kept.values()].reduce((sum, count) => sum + count, 0);
    return this.#removed + this.#wouldRemove.length + this.#failures.size + kept;
  }

  #conclude(end: RemovalEnd): RemovalSummary {
    const { suspects, limits, clock } = this.#removal;
    return {
      end,
      removed: this.#removed,
      wouldRemove: this.#wouldRemove,
      failed: this.#failures.size,
      failures: groupFailures(this.#failures.values(), limits.CLEANUP_EXAMPLES),
      lastFailure: this.#lastFailure,
      kept: this.#kept,
      left: suspects.length - this.#countDone(),
      ms: clock.elapsed() - this.#begun,
      error: this.#error,
    };
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
