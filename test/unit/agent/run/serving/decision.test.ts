import { describe, expect, it } from 'vitest';
import { decideServing, type ServingFacts } from '../../../../../src/agent/run/serving/decision.ts';
import { defaultLimits as limits } from '../../../../../src/support/limits/limits.ts';

const minute = 60_000;
const now = 100 * minute;
/** An agent of an hour, whose bootstrap runs for half of it, and whose server has just answered. */
const serves: ServingFacts = {
  startedAt: now - 60 * minute,
  observed: true,
  answered: true,
  lastAnswerAt: now - 1_000,
  refusal: undefined,
  cannotRun: undefined,
  unknown: undefined,
  runningSince: now - 30 * minute,
  connection: undefined,
  failuresInARow: 0,
  lastGoodEnd: undefined,
  lastFailure: undefined,
  longestFailure: 0,
};
const away = { cause: 'server-unreachable', message: 'no answer' } as const;
const revoked = { cause: 'keys-revoked', message: 'status 401' } as const;
const pause = { runningSince: undefined };
const fresh = { startedAt: now - 30_000, lastAnswerAt: now - 29_000 };

/** A connection that the bootstrap has had; it was last seen some time ago, or at the last look. */
const lost = (ms: number) => ({ connection: { isOpen: false, wasOpen: true, lastOpenAt: now - ms } });
const open = { connection: { isOpen: true, wasOpen: true, lastOpenAt: now } };
/** A bootstrap that has run for so long, and never had one. */
const never = (ms: number) => ({
  runningSince: now - ms,
  connection: { isOpen: false, wasOpen: false, lastOpenAt: now - ms },
});

describe('an agent whose bootstrap can be seen to hold no connection', () => {
  it.each<[string, Partial<ServingFacts>]>([
    ['serves while it is open', open],
    ['serves on when it was lost less than 3 min ago', lost(3 * minute - 1)],
    ['serves while it reconnects after an exit by design', { ...never(70_000), lastGoodEnd: now - 80_000 }],
  ])('%s', (_title, facts) => {
    expect(decideServing({ ...serves, ...facts }, now, limits)).toEqual({ serving: 'yes' });
  });

  it.each<[string, Partial<ServingFacts>, string, RegExp]>([
    ['has proven nothing after a minute', never(minute), 'starting', /not connected to the server yet/],
    ['is in doubt after 3 min', never(3 * minute), 'agent-not-connected', /has run for 3 min and has not/],
    ['is in doubt for as long as it hangs', never(90 * minute), 'agent-not-connected', /has not connected/],
    ['is in doubt 3 min after it lost one', lost(3 * minute), 'agent-not-connected', /has had no connection/],
    [
      'is in doubt though it follows on a good run',
      { ...never(3 * minute), lastGoodEnd: now - 200_000 },
      'agent-not-connected',
      /has not connected/,
    ],
  ])('%s', (_title, facts, cause, message) => {
    const decision = decideServing({ ...serves, ...facts }, now, limits);
    expect(decision).toMatchObject({ serving: 'unknown', reason: { cause } });
    expect(decision.reason?.message).toMatch(message);
  });

  it('does not serve where the server has been silent for long as well', () => {
    const facts = { ...never(30 * minute), answered: false, refusal: away, lastAnswerAt: now - 20 * minute };
    expect(decideServing({ ...serves, ...facts }, now, limits)).toMatchObject({ serving: 'no' });
  });
});

describe('an agent serves', () => {
  it.each<[string, Partial<ServingFacts>]>([
    ['while its bootstrap runs and the last answer is live', {}],
    ['though nobody has asked for an hour: only failed requests count', { lastAnswerAt: now - 60 * minute }],
    [
      'while requests fail, for less than 10 minutes',
      { answered: false, refusal: away, lastAnswerAt: now - 9 * minute },
    ],
    [
      'while a refusal is no older than that: a database may fail over',
      { answered: false, refusal: revoked, lastAnswerAt: now - 5 * minute },
    ],
    ['in the pause after an exit by design', { ...pause, lastGoodEnd: now - 20_000 }],
    ['in a new run that follows on one', { runningSince: now - 1_000, lastGoodEnd: now - 20_000 }],
    ['with a run that lasts, whatever failed before it', { failuresInARow: 5 }],
    ['with a run twice as long as those that failed', { failuresInARow: 5, longestFailure: 15 * minute }],
    [
      'with a run of 10 minutes, however long the failed ones had run',
      { failuresInARow: 5, longestFailure: 300 * minute, runningSince: now - 10 * minute },
    ],
  ])('%s', (_title, facts) => {
    expect(decideServing({ ...serves, ...facts }, now, limits)).toEqual({ serving: 'yes' });
  });
});

describe('an agent does not serve', () => {
  it.each<[string, Partial<ServingFacts>, string]>([
    [
      'when requests have failed for 10 minutes, although its bootstrap runs',
      { answered: false, refusal: away, lastAnswerAt: now - 10 * minute },
      'server-unreachable',
    ],
    ['when nothing can be run', { cannotRun: { cause: 'no-bash', message: 'no bash' } }, 'no-bash'],
    [
      'when its keys are revoked and no bootstrap runs',
      { ...pause, answered: false, refusal: revoked },
      'keys-revoked',
    ],
    ['when three runs in a row have failed', { ...pause, failuresInARow: 3 }, 'bootstrap-fails'],
    [
      'when three have failed, and a fourth has just begun',
      { runningSince: now - 100, failuresInARow: 3 },
      'bootstrap-fails',
    ],
    [
      'when three have failed after a minute each, and the fourth runs for a little longer',
      { runningSince: now - 2 * minute, failuresInARow: 3, longestFailure: 61_000 },
      'bootstrap-fails',
    ],
    [
      'when the server is away and nothing runs',
      { ...pause, answered: false, refusal: away },
      'server-unreachable',
    ],
    ['when nothing runs', pause, 'bootstrap-not-running'],
    [
      'when the exit by design is longer ago than a reconnect takes',
      { ...pause, lastGoodEnd: now - 3 * minute },
      'bootstrap-not-running',
    ],
    [
      'when its process has done nothing for 10 minutes',
      { ...pause, observed: false },
      'bootstrap-not-running',
    ],
  ])('%s', (_title, facts, cause) => {
    const decision = decideServing({ ...serves, ...facts }, now, limits);
    expect(decision).toMatchObject({ serving: 'no', reason: { cause } });
  });

  it('at once when three runs in a row have failed, however young it is', () => {
    const facts = { ...serves, ...fresh, ...pause, failuresInARow: 3, lastFailure: 'status 1 after 6 ms' };
    const { reason } = decideServing(facts, now, limits);
    expect(reason?.message).toBe(
      "the server's bootstrap script exited with an error 3 times in a row, the last time with status 1 after 6 ms",
    );
  });
});

describe('it is unknown', () => {
  it.each<[string, Partial<ServingFacts>, string]>([
    ['when nobody observes', { unknown: { cause: 'serving-unknown', message: '' } }, 'serving-unknown'],
    ['in the first minute of its first bootstrap', { ...fresh, runningSince: now - 20_000 }, 'starting'],
    [
      'in the first minute after its server has come back',
      { runningSince: now - 20_000, lastAnswerAt: now - 20_000 },
      'starting',
    ],
    [
      'for two minutes while a first answer is missing',
      { ...fresh, ...pause, answered: false, refusal: away },
      'starting',
    ],
    ['before anything was observed', { ...fresh, ...pause, observed: false }, 'starting'],
    [
      'while a bootstrap runs that the server has never given a live answer to',
      {
        lastAnswerAt: undefined,
        answered: undefined,
        startedAt: now - 2 * minute,
        runningSince: now - minute,
      },
      'starting',
    ],
  ])('%s', (_title, facts, cause) => {
    const decision = decideServing({ ...serves, ...facts }, now, limits);
    expect(decision).toMatchObject({ serving: 'unknown', reason: { cause } });
  });
});
