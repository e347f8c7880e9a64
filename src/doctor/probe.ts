import type { Deadline } from '../support/deadline.ts';
import { DeadlineError, withDeadline } from '../support/deadline.ts';
import { EntrypointError, messageOf } from '../support/errors.ts';
import type { Seen } from './snapshot.ts';

/** Says that something can't be seen from where the doctor was started, and what would show it. */
export class BlindError extends Error {
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'BlindError';
    this.hint = hint;
  }
}

/** What every look at the host has to keep to. */
export interface Bounds {
  /** For one look, in ms. */
  readonly each: number;
  /** For all of them. */
  readonly total: Deadline;
  readonly signal: AbortSignal;
}

/** In ms; a timer is no more precise than that. */
const leastLook = 2;

/**
 * Looks at one thing. Whatever goes wrong is an answer as well, and none takes longer than its bounds, even if `work`
 * never settles.
 * @throws the signal's reason when aborted
 */
export async function look<T>(what: string, bounds: Bounds, work: () => Promise<T>): Promise<Seen<T>> {
  const ms = Math.min(bounds.each, bounds.total.left());
  // A timer may fire a moment early: what is left then is no time to look.
  if (ms < leastLook)
    return { known: false, why: `${what}: not looked at, the time for all of it is up`, blind: false };
  try {
    return { known: true, value: await withDeadline(what, ms, work, bounds.signal) };
  } catch (error) {
    bounds.signal.throwIfAborted();
    if (error instanceof BlindError)
      return { known: false, why: error.message, hint: error.hint, blind: true };
    const hint = error instanceof EntrypointError ? error.hint : undefined;
    return {
      known: false,
      why: messageOf(error),
      ...(hint === undefined ? {} : { hint }),
      blind: false,
      ...(error instanceof DeadlineError ? { silent: true } : {}),
    };
  }
}

/** What follows from something unknown: unknown as well, for the same reason in fewer words. */
export function unknownBecause(why: string): Extract<Seen<never>, { known: false }> {
  return { known: false, why, blind: false };
}
