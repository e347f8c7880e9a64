import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { faults, type ReadinessFailure } from '../../../../../src/agent/run/readiness/result.ts';
import {
  judgeReadiness,
  type Answers,
  type Question,
  type Reach,
  type Situation,
  type Verdict,
} from '../../../../../src/agent/worker/proof/judge.ts';

/* The table of readiness §2, §3. Every combination of what can be known meets exactly one of these rows. */

const situations = ['agent-serves', 'legacy-waits', 'no-agent-runs', 'first-agent', 'reconciling'] as const;
const found = ['image', 'way', 'server', 'keys, once', 'keys, twice'] as const;
type Found = (typeof found)[number];
const serverReach = ['answers', 'silent', 'differs', 'not-measured'] as const;
const keysReach = ['accepted', 'refused', 'differs', 'not-measured'] as const;
const everyAnswers = ['alike', 'differ', 'too-few'] as const;
const reaches: readonly (Reach | undefined)[] = [
  undefined,
  ...serverReach.flatMap((server) => keysReach.map((keys) => ({ server, keys }))),
];

interface Row {
  readonly found: readonly Found[];
  readonly in: readonly Situation[];
  /** Left out: at any time. */
  readonly time?: 'left' | 'up';
  /** Left out: whatever the old agent reaches, measured or not. */
  readonly reach?: (reach: Reach | undefined) => boolean;
  /** Of the next agent. Left out: whatever they are. */
  readonly answers?: readonly Answers[];
  readonly then: Verdict['do'];
  readonly why?: string;
}

const unmeasured = (reach: Reach | undefined): boolean => reach === undefined;
const answered = (reach: Reach | undefined): boolean => reach?.server === 'answers';
const mixed = (reach: Reach | undefined): boolean => reach?.server === 'differs';
const unanswered = (reach: Reach | undefined): boolean =>
  reach?.server === 'silent' || reach?.server === 'not-measured';
const accepted = (reach: Reach | undefined): boolean => reach?.keys === 'accepted';
const mixedKeys = (reach: Reach | undefined): boolean => reach?.keys === 'differs';
const unaccepted = (reach: Reach | undefined): boolean =>
  reach?.keys === 'refused' || reach?.keys === 'not-measured';

const protectsNothing: readonly Row[] = [
  { found, in: ['no-agent-runs'], then: 'promote-anyway' },
  { found: ['image', 'keys, twice'], in: ['first-agent'], then: 'promote-anyway' },
  { found: ['way', 'server', 'keys, once'], in: ['first-agent'], time: 'left', then: 'try-again' },
  { found: ['way', 'server', 'keys, once'], in: ['first-agent'], time: 'up', then: 'promote-anyway' },
];

/** READY is over: what the next agent finds each time, and the old one never, is the fault of the image. */
const wayIsUp = { found: ['way'], in: ['agent-serves'], time: 'up' } as const;
const blamesTheWay: readonly Row[] = [
  { ...wayIsUp, answers: ['differ'], then: 'defer', why: 'answers-differ' },
  { ...wayIsUp, answers: ['too-few'], then: 'defer' },
  { ...wayIsUp, answers: ['alike'], reach: unmeasured, then: 'measure' },
  { ...wayIsUp, answers: ['alike'], reach: answered, then: 'refuse', why: 'old-agent-reaches-server' },
  { ...wayIsUp, answers: ['alike'], reach: mixed, then: 'defer', why: 'answers-differ' },
  { ...wayIsUp, answers: ['alike'], reach: unanswered, then: 'defer' },
];

const protectsAnAgent: readonly Row[] = [
  { found: ['image'], in: ['agent-serves', 'legacy-waits', 'reconciling'], then: 'refuse', why: 'image' },
  {
    found: ['way', 'server', 'keys, once'],
    in: ['agent-serves', 'reconciling'],
    time: 'left',
    then: 'try-again',
  },
  ...blamesTheWay,
  // Nobody to compare with: the parked agent does not run.
  { found: ['way'], in: ['reconciling'], time: 'up', then: 'defer' },
  { found: ['server', 'keys, once'], in: ['agent-serves', 'reconciling'], time: 'up', then: 'defer' },
];

const keysTwice = { found: ['keys, twice'] } as const;
const refusesKeys: readonly Row[] = [
  { found: ['keys, twice'], in: ['agent-serves', 'legacy-waits'], reach: unmeasured, then: 'measure' },
  { found: ['keys, twice'], in: ['reconciling'], reach: unmeasured, then: 'promote-anyway' },
  {
    found: ['keys, twice'],
    in: ['agent-serves', 'legacy-waits', 'reconciling'],
    reach: accepted,
    answers: ['alike', 'too-few'],
    then: 'refuse',
    why: 'keys-did-not-arrive',
  },
  ...[{ reach: accepted, answers: ['differ'] as const }, { reach: mixedKeys }].flatMap(
    (what): readonly Row[] => [
      { ...keysTwice, ...what, in: ['agent-serves', 'reconciling'], time: 'left', then: 'try-again' },
      {
        ...keysTwice,
        ...what,
        in: ['agent-serves', 'reconciling'],
        time: 'up',
        then: 'defer',
        why: 'answers-differ',
      },
      { ...keysTwice, ...what, in: ['legacy-waits'], then: 'try-again' },
    ],
  ),
  {
    found: ['keys, twice'],
    in: ['agent-serves', 'legacy-waits', 'reconciling'],
    reach: unaccepted,
    then: 'promote-anyway',
  },
];

/** Readiness §3: nothing is created or removed between tries, however long it takes. */
const whileNobodyIsActive: readonly Row[] = [
  { found: ['way', 'server', 'keys, once'], in: ['legacy-waits'], then: 'try-again' },
];

const table = [...protectsNothing, ...protectsAnAgent, ...refusesKeys, ...whileNobodyIsActive];

const causes = {
  image: 'ready-programs-missing',
  way: 'ready-curl-tls',
  server: 'ready-script-busy',
  keys: 'ready-keys-revoked',
} as const;

function failureOf(what: Found): ReadinessFailure {
  const fault = what === 'keys, once' || what === 'keys, twice' ? 'keys' : what;
  const check = { image: 'programs', way: 'curl', server: 'script', keys: 'keys' } as const;
  return {
    check: check[fault],
    fault,
    cause: causes[fault],
    message: 'a sentence',
    ...(what === 'keys, twice' ? { confirmed: true } : {}),
  };
}

const everyQuestion = found.flatMap((what) =>
  situations.flatMap((situation) =>
    [false, true].flatMap((timeIsUp) =>
      reaches.flatMap((reach) =>
        everyAnswers.map((answers) => ({ what, situation, timeIsUp, reach, answers })),
      ),
    ),
  ),
);
type Case = (typeof everyQuestion)[number];

function rowsFor({ what, situation, timeIsUp, reach, answers }: Case): readonly Row[] {
  return table.filter(
    (row) =>
      row.found.includes(what) &&
      row.in.includes(situation) &&
      (row.time === undefined || (row.time === 'up') === timeIsUp) &&
      (row.answers?.includes(answers) ?? true) &&
      (row.reach?.(reach) ?? true),
  );
}

function describeCase({ what, situation, timeIsUp, reach, answers }: Case): string {
  const reached = reach === undefined ? 'not asked' : `server ${reach.server}, keys ${reach.keys}`;
  return `${what}; ${situation}; time ${timeIsUp ? 'up' : 'left'}; old agent: ${reached}; answers ${answers}`;
}

describe('the table of faults', () => {
  it('has exactly one row for each of the 2,550 questions', () => {
    expect(everyQuestion).toHaveLength(2_550);
    expect(everyQuestion.filter((each) => rowsFor(each).length !== 1).map(describeCase)).toEqual([]);
  });

  it.each(table.map((row) => [row.found.join(' / '), row.in.join(' / '), row.time ?? 'any', row] as const))(
    'the next agent finds %s; %s; time %s',
    (_found, _situations, _time, row) => {
      const cases = everyQuestion.filter((each) => rowsFor(each).includes(row));
      expect(cases.length).toBeGreaterThan(0);
      for (const each of cases) {
        const failure = failureOf(each.what);
        const verdict = judgeReadiness({ ...each, result: { ready: false, failure } });
        const named = row.then === 'try-again' || row.then === 'measure' ? {} : { failure };
        const why = row.why === undefined ? {} : { why: row.why };
        expect(verdict, describeCase(each)).toEqual({ do: row.then, ...named, ...why });
      }
    },
  );

  it('a next agent that is ready is promoted, whatever else there is', () => {
    for (const each of everyQuestion) {
      expect(judgeReadiness({ ...each, result: { ready: true } })).toEqual({ do: 'promote' });
    }
  });
});

const anyQuestion: fc.Arbitrary<Question> = fc.record({
  result: fc.record({
    ready: fc.constant(false),
    failure: fc
      .tuple(
        fc.constantFrom(...faults),
        fc.constantFrom('programs', 'server', 'curl', 'keys', 'script'),
        fc.constantFrom(undefined, true, false),
        fc.string(),
      )
      .map(([fault, check, confirmed, message]) => ({
        fault,
        check,
        cause: 'ready-server-busy' as const,
        message,
        ...(confirmed === undefined ? {} : { confirmed }),
      })),
  }),
  situation: fc.constantFrom(...situations),
  timeIsUp: fc.boolean(),
  reach: fc.constantFrom(...reaches),
  answers: fc.constantFrom(...everyAnswers),
});

/** Asks as the gate does: measures where the answer depends on it. */
function reconcile(question: Question, measured: Reach): Verdict {
  const verdict = judgeReadiness(question);
  return verdict.do === 'measure' ? judgeReadiness({ ...question, reach: measured }) : verdict;
}

describe('whatever is asked', () => {
  const check = (name: string, holds: (question: Question, verdict: Verdict) => boolean): void => {
    it(name, () => {
      const measured = fc.constantFrom(...reaches.filter((reach) => reach !== undefined));
      fc.assert(
        fc.property(anyQuestion, measured, (question, reach) => holds(question, reconcile(question, reach))),
        { seed: 1, numRuns: 3_000 },
      );
    });
  };

  check('a measurement is asked for once at most', (_question, verdict) => verdict.do !== 'measure');

  check(
    'a fault of the server is never held against an image',
    ({ result }, verdict) => result.failure?.fault !== 'server' || verdict.do !== 'refuse',
  );

  check(
    'an image is refused for its way only by answers that are alike, on both sides',
    ({ result, answers }, verdict) =>
      result.failure?.fault !== 'way' || verdict.do !== 'refuse' || answers === 'alike',
  );

  check(
    'where there is nothing to protect the next agent is never removed',
    ({ situation }, verdict) =>
      !(situation === 'first-agent' || situation === 'no-agent-runs') ||
      verdict.do === 'promote-anyway' ||
      (situation === 'first-agent' && verdict.do === 'try-again'),
  );

  check(
    'while no agent is active nothing that may heal ends the waiting',
    ({ situation, result: { failure } }, verdict) => {
      const isFinal = failure?.fault === 'image' || (failure?.fault === 'keys' && failure.confirmed === true);
      return situation !== 'legacy-waits' || isFinal || verdict.do === 'try-again';
    },
  );

  check(
    'an agent that is there is replaced only by one that is ready, or as well as it when it comes to keys',
    ({ situation, result: { failure } }, verdict) =>
      situation === 'first-agent' ||
      situation === 'no-agent-runs' ||
      verdict.do !== 'promote-anyway' ||
      failure?.fault === 'keys',
  );

  check(
    'when the time is up nothing is tried again, unless no agent is active',
    ({ situation, timeIsUp }, verdict) =>
      !timeIsUp || situation === 'legacy-waits' || verdict.do !== 'try-again',
  );
});
