import { setTimeout as delay } from 'node:timers/promises';

/** Time and chance, passed in so that tests can hold both in their hands. */
export interface Clock {
  /** Milliseconds since 1970, as the wall clock says. */
  now(): number;
  /**
   * Milliseconds since the host started, by a clock that nobody sets (CLOCK_MONOTONIC): for every duration and deadline. All
   * processes of a host read the same value, in whatever container.
   */
  elapsed(): number;
  /** Waits; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number in [0, 1). */
  random(): number;
}

/**
 * The time of day for a process that keeps times and compares them later: what the wall clock says now, and from then on the
 * clock that nobody sets. Two of its times are as far apart as they really were.
 * @returns milliseconds since 1970
 */
export function steadyTime(clock: Pick<Clock, 'now' | 'elapsed'>): () => number {
  const offset = clock.now() - clock.elapsed();
  return () => Math.round(offset + clock.elapsed());
}

/** The real clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => Number(process.hrtime.bigint() / 1000n) / 1000,
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
  random: () => Math.random(),
};
