import type { ReadinessFailure, ReadinessResult } from '../../run/readiness/result.ts';

/**
 * Decides what is at fault if a next agent is not ready, and what follows (readiness §2, §3). Pure: one row of the table
 * after the other, without any request.
 */

/** What the old agent reaches at this moment, measured in its own container. */
export interface Reach {
  /** Whether its server answers it. `differs`: not every time. */
  readonly server: 'answers' | 'silent' | 'differs' | 'not-measured';
  /** Whether its server accepts its keys. */
  readonly keys: 'accepted' | 'refused' | 'differs' | 'not-measured';
}

/** Whether the check that fails has failed each time; `too-few`: only one result is there. */
export type Answers = 'alike' | 'differ' | 'too-few';

export const notMeasured: Reach = { server: 'not-measured', keys: 'not-measured' };

/** What must be protected on this host. */
export type Situation =
  /** An agent is active: it works, and stays until the next one has proven that it can serve. */
  | 'agent-serves'
  /** A legacy agent is active that does not work, because its server requires another image (readiness §3). */
  | 'legacy-waits'
  /** An agent is there and does not run. */
  | 'no-agent-runs'
  /** No other container holds the host's keys. */
  | 'first-agent'
  /** This reconciles an interrupted upgrade: the parked agent can come back. */
  | 'reconciling';

export interface Question {
  readonly result: Pick<ReadinessResult, 'ready' | 'failure'>;
  readonly situation: Situation;
  /** The time READY is over: the check is not repeated any more. */
  readonly timeIsUp: boolean;
  /** Undefined: not measured yet. Measured only when the answer depends on it. */
  readonly reach: Reach | undefined;
  /** `alike` if left out. */
  readonly answers?: Answers;
}

export type Verdict =
  | { readonly do: 'promote' }
  /** Promoted although a check failed; the state says which. */
  | { readonly do: 'promote-anyway'; readonly failure: ReadinessFailure }
  | { readonly do: 'try-again' }
  /** The decision depends on what the old agent reaches. */
  | { readonly do: 'measure' }
  /** Not promoted, and it counts against the image. */
  | { readonly do: 'refuse'; readonly failure: ReadinessFailure; readonly why: Refusal }
  /** Not promoted; nothing shows that the image is at fault. */
  | {
      readonly do: 'defer';
      readonly failure: ReadinessFailure;
      /** One of the two agents gets different answers: perhaps one server behind a load balancer is broken. */
      readonly why?: 'answers-differ';
    };

export type Refusal = 'image' | 'old-agent-reaches-server' | 'keys-did-not-arrive';

/** Decides on the newest result of a next agent. */
export function judgeReadiness(question: Question): Verdict {
  const { result, situation } = question;
  const { failure } = result;
  if (result.ready || failure === undefined) return { do: 'promote' };
  if (situation === 'no-agent-runs') return { do: 'promote-anyway', failure };
  if (situation === 'first-agent') return judgeFirst(question, failure);
  if (failure.fault === 'image') return { do: 'refuse', failure, why: 'image' };
  if (failure.fault === 'keys') return judgeKeys(question, failure);
  // While no agent is active, giving up does not help: the worker keeps the next agent until the worker's own time is up.
  if (situation === 'legacy-waits') return { do: 'try-again' };
  if (!question.timeIsUp) return { do: 'try-again' };
  if (failure.fault === 'server' || situation === 'reconciling') return { do: 'defer', failure };
  return judgeWay(question, failure);
}

/** Waits for READY: a fault that disappears within that time is no failure. A fault of the image never disappears. */
function judgeFirst({ timeIsUp }: Question, failure: ReadinessFailure): Verdict {
  const isFinal = failure.fault === 'image' || failure.confirmed === true;
  return timeIsUp || isFinal ? { do: 'promote-anyway', failure } : { do: 'try-again' };
}

/**
 * DNS, connection, proxy, TLS: the image's own fault only if the old agent gets a live answer at the same moment, each time,
 * and the next agent never does.
 */
function judgeWay({ reach, answers = 'alike' }: Question, failure: ReadinessFailure): Verdict {
  if (answers === 'differ') return { do: 'defer', failure, why: 'answers-differ' };
  if (answers === 'too-few') return { do: 'defer', failure };
  if (reach === undefined) return { do: 'measure' };
  if (reach.server === 'differs') return { do: 'defer', failure, why: 'answers-differ' };
  return reach.server === 'answers'
    ? { do: 'refuse', failure, why: 'old-agent-reaches-server' }
    : { do: 'defer', failure };
}

/** The old agent has the same keys, so the server refuses both agents: a rollback would not help. */
function judgeKeys(question: Question, failure: ReadinessFailure): Verdict {
  const { reach, timeIsUp, situation, answers = 'alike' } = question;
  const givesUp = timeIsUp && situation !== 'legacy-waits';
  if (failure.confirmed !== true) return givesUp ? { do: 'defer', failure } : { do: 'try-again' };
  if (reach === undefined && situation !== 'reconciling') return { do: 'measure' };
  const differs = reach?.keys === 'differs' || (reach?.keys === 'accepted' && answers === 'differ');
  if (differs) return givesUp ? { do: 'defer', failure, why: 'answers-differ' } : { do: 'try-again' };
  return reach?.keys === 'accepted'
    ? { do: 'refuse', failure, why: 'keys-did-not-arrive' }
    : { do: 'promote-anyway', failure };
}
