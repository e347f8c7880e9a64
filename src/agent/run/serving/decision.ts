import { formatDuration } from '../../../support/deadline.ts';
import type { Limits } from '../../../support/limits/limits.ts';
import {
  agentNotConnected,
  bootstrapFails,
  bootstrapNotRunning,
  keysRevoked,
  serverUnreachable,
  starting,
} from './causes.ts';
import type { StateCause } from '../../../support/causes.ts';

/** Why something is so: a stable code, and one sentence for a person. */
export interface Reason {
  readonly cause: StateCause;
  readonly message: string;
}

export interface ConnectionFacts {
  /** Whether it was seen to be open at the last look. */
  readonly isOpen: boolean;
  /** Whether it was seen to be open since the start of the run. */
  readonly wasOpen: boolean;
  /** When it was last seen to be open; the start of the run where it never was. */
  readonly lastOpenAt: number;
}

/** What has been observed of one agent's process. All times by `Clock.elapsed`, in ms. */
export interface ServingFacts {
  readonly startedAt: number;
  /** Whether anything was observed at all. */
  readonly observed: boolean;
  /** Whether the last request got a live answer; undefined before the first one. */
  readonly answered: boolean | undefined;
  readonly lastAnswerAt: number | undefined;
  /** Why the last request got no live answer. */
  readonly refusal: Reason | undefined;
  /** Nothing can be run; undefined as soon as something runs. */
  readonly cannotRun: Reason | undefined;
  /** Nobody observes any more. */
  readonly unknown: Reason | undefined;
  /** Since when a bootstrap runs; undefined while none does. */
  readonly runningSince: number | undefined;
  /** The connection of that run to another machine; undefined while none runs, and where nobody can see it. */
  readonly connection: ConnectionFacts | undefined;
  readonly failuresInARow: number;
  /** When the last run was over that lasted, or exited by design. */
  readonly lastGoodEnd: number | undefined;
  /** The last exit with an error, in words, e.g. `status 1 after 6 ms`. */
  readonly lastFailure: string | undefined;
  /** How long the longest of the failures in a row had run, in ms; 0 while there is none. */
  readonly longestFailure: number;
}

export interface ServingDecision {
  readonly serving: 'yes' | 'no' | 'unknown';
  /** Left out when it serves. */
  readonly reason?: Reason;
}

/**
 * Whether the agent serves (readiness §5). It does only while its bootstrap runs, or has exited by design moments ago, and
 * the server's last answer is live. While a bootstrap runs only failed requests count against it, and only after
 * SERVING_SILENCE without a live answer. A bootstrap that exits with an error after a minute, each time, has served nobody: it
 * waited for something that never came. So the next one proves something only when it has run twice as long. And one that can
 * be seen to hold no connection to the server has proven nothing, however long it runs: it may hang. Pure.
 */
export function decideServing(facts: ServingFacts, now: number, limits: Limits): ServingDecision {
  if (facts.unknown !== undefined) return { serving: 'unknown', reason: facts.unknown };
  if (facts.cannotRun !== undefined) return { serving: 'no', reason: facts.cannotRun };
  const ranFor = facts.runningSince === undefined ? undefined : now - facts.runningSince;
  const reconnects = facts.lastGoodEnd !== undefined && now - facts.lastGoodEnd < limits.SERVING_GRACE;
  if (ranFor !== undefined && ranFor >= provenAfter(facts.longestFailure, limits))
    return whileItRuns(facts, now, limits, reconnects);
  if (facts.answered === false && facts.refusal?.cause === keysRevoked) return no(facts.refusal);
  if (facts.failuresInARow >= limits.BOOTSTRAP_WATCH_EXITS && facts.answered !== false)
    return no(fails(facts));
  if (reconnects && facts.lastAnswerAt !== undefined) return { serving: 'yes' };
  return isEarly(facts, now, limits) ? tooEarly : no(whyNot(facts));
}

/**
 * How long a bootstrap runs, in ms, until it proves something: BOOTSTRAP_WATCH, or twice as long as the failed ones before it.
 * @param longestFailure how long these had run at most; 0 if there are none
 */
export function provenAfter(longestFailure: number, limits: Limits): number {
  return Math.max(limits.BOOTSTRAP_WATCH, Math.min(2 * longestFailure, limits.BOOTSTRAP_DOUBT));
}

const tooEarly: ServingDecision = {
  serving: 'unknown',
  reason: { cause: starting, message: 'its bootstrap has not run long enough yet' },
};

function whileItRuns(facts: ServingFacts, now: number, limits: Limits, reconnects: boolean): ServingDecision {
  const { answered, lastAnswerAt, startedAt, refusal } = facts;
  const silence = now - (lastAnswerAt ?? startedAt);
  const isSilent = answered !== true && silence >= limits.SERVING_SILENCE;
  if (isSilent) {
    const message = `the server has given no live answer for ${formatDuration(silence)}`;
    const why = refusal === undefined ? '' : `: ${refusal.message}`;
    return no({ cause: refusal?.cause ?? serverUnreachable, message: message + why });
  }
  if (lastAnswerAt === undefined) return tooEarly;
  return withoutConnection(facts, now, limits, reconnects) ?? { serving: 'yes' };
}

/** @returns undefined where the bootstrap has a connection, lost it only a moment ago, or nobody can see that */
function withoutConnection(
  { connection, runningSince = 0 }: ServingFacts,
  now: number,
  limits: Limits,
  reconnects: boolean,
): ServingDecision | undefined {
  if (connection === undefined || connection.isOpen) return undefined;
  const without = now - connection.lastOpenAt;
  if (without >= limits.CONNECTION_PATIENCE) {
    const ran = formatDuration(now - runningSince);
    const message = connection.wasOpen
      ? `its bootstrap runs and has had no connection to the server for ${formatDuration(without)}`
      : `its bootstrap has run for ${ran} and has not connected to the server`;
    return { serving: 'unknown', reason: { cause: agentNotConnected, message } };
  }
  return connection.wasOpen || reconnects ? undefined : notConnectedYet;
}

const notConnectedYet: ServingDecision = {
  serving: 'unknown',
  reason: { cause: starting, message: 'its bootstrap runs and has not connected to the server yet' },
};

/** At the start, and while a first bootstrap of a server that answers again has not run long enough. */
function isEarly(facts: ServingFacts, now: number, limits: Limits): boolean {
  const age = now - facts.startedAt;
  if (!facts.observed) return age < limits.SERVING_SILENCE;
  return age < limits.SERVING_GRACE || (facts.runningSince !== undefined && facts.answered !== false);
}

function whyNot(facts: ServingFacts): Reason {
  if (facts.answered === false && facts.refusal !== undefined) return facts.refusal;
  if (facts.failuresInARow > 0) return fails(facts);
  return { cause: bootstrapNotRunning, message: 'no bootstrap of the server runs' };
}

function fails({ failuresInARow, lastFailure }: ServingFacts): Reason {
  const times = failuresInARow === 1 ? 'once' : `${failuresInARow} times in a row`;
  const last = lastFailure === undefined ? '' : `, the last time with ${lastFailure}`;
  return {
    cause: bootstrapFails,
    message: `the server's bootstrap script exited with an error ${times}${last}`,
  };
}

function no(reason: Reason): ServingDecision {
  return { serving: 'no', reason };
}
