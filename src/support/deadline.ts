import type { Clock } from './clock.ts';

/** The time for a wait is up; the message says what for. */
export class DeadlineError extends Error {
  readonly what: string;
  readonly ms: number;

  constructor(what: string, ms: number) {
    super(`${what}: no answer within ${formatDuration(ms)}`);
    this.name = 'DeadlineError';
    this.what = what;
    this.ms = ms;
  }
}

/**
 * Runs `work` with a deadline that holds even if the promise it returns stays pending for ever (engine-notes §4: a connection that
 * drops after the headers leaves such a promise behind). The signal given to `work` is aborted when the time is up or
 * when `outer` is aborted, so that sockets are closed as well.
 *
 * @param what named in the error, e.g. `inspect container rancher-agent`
 * @param ms deadline in milliseconds
 * @throws DeadlineError when the time is up; the outer signal's reason when that one is aborted first
 */
export async function withDeadline<T>(
  what: string,
  ms: number,
  work: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  outer?.throwIfAborted();
  const controller = new AbortController();
  const { promise: ended, reject } = Promise.withResolvers<never>();
  const end = (reason: Error): void => {
    reject(reason);
    controller.abort(reason);
  };
  const timer = setTimeout(() => {
    end(new DeadlineError(what, ms));
  }, ms);
  const onOuterAbort = (): void => {
    end(reasonOf(outer));
  };
  outer?.addEventListener('abort', onOuterAbort, { once: true });
  try {
    return await Promise.race([work(controller.signal), ended]);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', onOuterAbort);
  }
}

/**
 * Waits for work that cannot be stopped, but no longer than until the signal comes; the work continues.
 * @throws the signal's reason, or what the work throws
 */
export async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => {
    reject(reasonOf(signal));
  };
  if (signal.aborted) onAbort();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([aborted, work]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** A point in time that a longer piece of work must not pass, handed down to its parts. */
export interface Deadline {
  /** Whole milliseconds left, never negative: `AbortSignal.timeout` refuses fractions. */
  left(): number;
}

/** A deadline `ms` milliseconds from now, by the clock that nobody can set. */
export function deadlineIn(ms: number, clock: Pick<Clock, 'elapsed'>): Deadline {
  const endsAt = clock.elapsed() + ms;
  return { left: () => Math.max(0, Math.ceil(endsAt - clock.elapsed())) };
}

/** `1500` as `1.5 s`, `90000` as `90 s`, `900000` as `15 min`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 120_000) return `${Number((ms / 1000).toFixed(1))} s`;
  if (ms < 2 * 3_600_000) return `${Number((ms / 60_000).toFixed(1))} min`;
  return `${Number((ms / 3_600_000).toFixed(1))} h`;
}

/** An age for people, who need no fractions: `12 s`, `5 min`, `3 h`, `9 days`. Never negative: clocks are set back. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} days`;
}

function reasonOf(signal: AbortSignal | undefined): Error {
  return signal?.reason instanceof Error ? signal.reason : new Error('aborted');
}
