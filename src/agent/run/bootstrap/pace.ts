import { formatDuration } from '../../../support/deadline.ts';
import type { Limits } from '../../../support/limits/limits.ts';
import { doubling } from '../../../support/retry.ts';

/** How one turn of the bootstrap loop went, which decides on the pause after it. */
export type Turn =
  | { readonly kind: 'ran'; readonly ms: number }
  /** Nothing was run: the server is away, or sent something that is not a script, or this image cannot run it. */
  | { readonly kind: 'nothing'; readonly reason: string; readonly hint?: string }
  /** The server refuses the keys, but has not done so for CREDENTIALS_APART yet. */
  | { readonly kind: 'refused'; readonly reason: string; readonly countsInMs: number }
  | { readonly kind: 'revoked'; readonly reason: string };

/** What the loop remembers from turn to turn. */
export interface Pace {
  /** Turns in a row that were no run that lasted. */
  readonly failures: number;
  /** The turn before was a run that lasted: the next one is the first reconnect. */
  readonly reconnecting: boolean;
}

export const initialPace: Pace = { failures: 0, reconnecting: false };

/**
 * Whether a run *lasted*, and so is no failure, however it exited. One run of the script is one websocket of the agent.
 *
 * - Not: `exit 1` or `exit 0` at once, a crash after 3 s, a websocket that is closed as soon as it is open. Download and
 *   start take up to 10 s on a slow host, so that a run below BOOTSTRAP_LASTED has proven nothing.
 * - Yes: the shortest connections that proxies and load balancers allow, 30 s.
 * - Yes as well: a download that failed after curl's five retries (31 s). It has paced itself, the server sees 8 requests in
 *   37 s, as many as from a legacy agent; and a crash after a minute. The exit status does not decide: the agent of the
 *   server exits with 0 on a closed websocket, and with 1 on an update.
 * - A download that hangs is a run, for as long as curl hangs. Nothing is asked meanwhile, and the next try should come soon.
 */
export function hasLasted(turn: Turn, limits: Limits): boolean {
  return turn.kind === 'ran' && turn.ms >= limits.BOOTSTRAP_LASTED;
}

/**
 * Pure: the pause after a turn, in ms, and what to remember.
 *
 * After a run that lasted it is short, as for an agent that reconnects: BOOTSTRAP_PAUSE_MIN and BOOTSTRAP_JITTER of
 * chance. A server that restarts loses all its hosts in the same second. They are spread over BOOTSTRAP_SPREAD where that
 * costs little (runs of BOOTSTRAP_HEALTHY), or where it is needed: when the first reconnect fails. After that the pause
 * doubles, half of it chance.
 *
 * @param random in [0, 1)
 */
export function choosePause(
  turn: Turn,
  before: Pace,
  limits: Limits,
  random: number,
): { readonly pause: number; readonly pace: Pace } {
  if (turn.kind === 'ran' && hasLasted(turn, limits)) {
    const isLong = turn.ms >= limits.BOOTSTRAP_HEALTHY;
    const chance = Math.max(limits.BOOTSTRAP_JITTER, isLong ? limits.BOOTSTRAP_SPREAD : 0);
    return {
      pause: Math.round(limits.BOOTSTRAP_PAUSE_MIN + chance * random),
      pace: { failures: 0, reconnecting: true },
    };
  }
  const pace = { failures: before.failures + 1, reconnecting: false };
  return { pause: Math.round(pauseAfterFailure(turn, before, limits, random)), pace };
}

function pauseAfterFailure(turn: Turn, before: Pace, limits: Limits, random: number): number {
  if (turn.kind === 'revoked') return (limits.CREDENTIALS_PAUSE / 2) * (1 + random);
  const whole = doubling(limits.BOOTSTRAP_PAUSE_MIN, limits.BOOTSTRAP_PAUSE_MAX)(before.failures + 1);
  const mayBeAllHosts = turn.kind !== 'ran' || before.reconnecting;
  const chance = Math.max(whole / 2, mayBeAllHosts ? limits.BOOTSTRAP_SPREAD : 0);
  const pause = whole / 2 + chance * random;
  // No later than when a second refusal counts: then it is known.
  return turn.kind === 'refused'
    ? Math.min(
        pause,
        Math.max(limits.BOOTSTRAP_PAUSE_MIN / 2, turn.countsInMs) + limits.BOOTSTRAP_JITTER * random,
      )
    : pause;
}

export function describeTurn(turn: Turn): string {
  switch (turn.kind) {
    case 'ran':
      return `the bootstrap ran for ${formatDuration(turn.ms)}`;
    case 'nothing':
      return turn.reason;
    case 'refused':
      return `the server refuses the keys of this agent (${turn.reason}); that counts if it does so again after ${formatDuration(turn.countsInMs)}`;
    case 'revoked':
      return `the keys are revoked (${turn.reason})`;
  }
}
