import type { Deadline } from '../support/deadline.ts';
import { DeadlineError, withDeadline } from '../support/deadline.ts';
import { EntrypointError, messageOf } from '../support/errors.ts';
import type { Seen } from './snapshot.ts';

/** Something cannot be seen from where the doctor was started; the hint says how it can be seen. */
export class NotVisibleError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'NotVisibleError';
    this.hint = hint;
  }
}

/** How long probes may take. */
export interface ProbeLimits {
  /** For one probe, in ms. */
  readonly each: number;
  /** For all of them. */
  readonly total: Deadline;
  readonly signal: AbortSignal;
}

/** In ms; a timer is no more precise than that. */
const leastProbe = 2;

/**
 * Probes one thing. An error is a result as well. No probe takes longer than its limits, even if `work` stays pending for ever.
 * @throws the signal's reason when aborted
 */
export async function probe<T>(what: string, allowed: ProbeLimits, work: () => Promise<T>): Promise<Seen<T>> {
  const ms = Math.min(allowed.each, allowed.total.left());
  // A timer may fire a moment early: the time left then is too short for a probe.
  if (ms < leastProbe)
    return { known: false, why: `${what}: not tried, the time for all probes is up`, blind: false };
  try {
    return { known: true, value: await withDeadline(what, ms, work, allowed.signal) };
  } catch (error) {
    allowed.signal.throwIfAborted();
    if (error instanceof NotVisibleError)
      return { known: false, why: error.message, hint: error.hint, blind: true };
    const hint = error instanceof EntrypointError ? error.hint : undefined;
    return {
      known: false,
      why: messageOf(error),
      ...(hint === undefined ? {} : { hint }),
      blind: false,
      ...(error instanceof DeadlineError ? { unresponsive: true } : {}),
    };
  }
}

/** Unknown, because another fact is unknown. */
export function unknownBecause(why: string): Extract<Seen<never>, { known: false }> {
  return { known: false, why, blind: false };
}
