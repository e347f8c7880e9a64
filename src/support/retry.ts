import pRetry from 'p-retry';
import { systemClock, type Clock } from './clock.ts';
import { deadlineIn, formatDuration } from './deadline.ts';
import { messageOf } from './errors.ts';
import type { Log } from './log.ts';

export interface RetryPolicy {
  /** What is tried, for the log: `remove container rancher-agent-previous`. */
  readonly what: string;
  /** Attempts in all, the first included. */
  readonly tries: number;
  /** Milliseconds to wait after the n-th failed try (n from 1). */
  readonly pause: (failedTries: number, error: Error) => number;
  /** All tries and pauses together, in ms: no try begins after it. */
  readonly total?: number;
  /** Only errors for which this says yes are worth another try. */
  readonly worthRetrying: (error: Error) => boolean;
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  readonly log: Log;
}

/**
 * Tries `attempt` a bounded number of times. The deadline of a single try belongs inside `attempt`: nothing here can
 * interrupt a try that is running.
 * @throws the last error as it was thrown, or the signal's reason
 */
export async function retry<T>(policy: RetryPolicy, attempt: (tryNumber: number) => Promise<T>): Promise<T> {
  const clock = policy.clock ?? systemClock;
  const deadline = policy.total === undefined ? undefined : deadlineIn(policy.total, clock);
  return pRetry(attempt, {
    retries: Math.max(0, policy.tries - 1),
    minTimeout: 0,
    ...(policy.total === undefined ? {} : { maxRetryTime: policy.total }),
    ...(policy.signal === undefined ? {} : { signal: policy.signal }),
    shouldRetry: ({ error }) => policy.worthRetrying(error),
    // We pause, not p-retry: its jitter only ever adds, and a server may name the pause itself.
    onFailedAttempt: async ({ error, attemptNumber, retriesLeft }) => {
      if (retriesLeft === 0 || !policy.worthRetrying(error)) return;
      const pause = policy.pause(attemptNumber, error);
      // Waiting for a try that may not begin any more helps nobody.
      if (deadline !== undefined && pause >= deadline.left()) throw error;
      policy.log.warn(`${policy.what}: try ${attemptNumber} of ${policy.tries} failed`, {
        error: messageOf(error).replace(`${policy.what}: `, ''),
        next: `in ${formatDuration(pause)}`,
      });
      await clock.sleep(pause, policy.signal);
    },
  });
}

/** Pauses that double from `min` to `max` milliseconds. */
export function doubling(min: number, max: number): (failedTries: number) => number {
  return (failedTries) => Math.min(max, min * 2 ** (failedTries - 1));
}

/** Full jitter over doubling pauses: a random part of each, so that many hosts do not come back in step. */
export function jittered(min: number, max: number, random: () => number): (failedTries: number) => number {
  const pauseOf = doubling(min, max);
  return (failedTries) => Math.round(pauseOf(failedTries) * random());
}
