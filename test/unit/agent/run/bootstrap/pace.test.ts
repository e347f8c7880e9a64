import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  choosePause,
  hasLasted,
  initialPace,
  type Pace,
  type Turn,
} from '../../../../../src/agent/run/bootstrap/pace.ts';
import { defaultLimits } from '../../../../../src/support/limits/limits.ts';

const second = 1_000;
const minute = 60 * second;
const ran = (ms: number): Turn => ({ kind: 'ran', ms });
const nothing: Turn = { kind: 'nothing', reason: 'the server is away' };
const refused = (countsInMs: number): Turn => ({ kind: 'refused', reason: 'status 401', countsInMs });
const revoked: Turn = { kind: 'revoked', reason: 'status 401' };
const reconnecting: Pace = { failures: 0, reconnecting: true };

/** The least and the most, in seconds. */
function pauses(turn: Turn, before: Pace): readonly number[] {
  return [0, 1].map((random) => choosePause(turn, before, defaultLimits, random).pause / second);
}

describe('the pause after a turn, in seconds', () => {
  it.each<[string, Turn, Pace, number, number]>([
    ['a connection of 30 s', ran(30 * second), initialPace, 5, 7],
    ['a connection of 9.5 min', ran(9.5 * minute), initialPace, 5, 7],
    ['a connection of 10 min: spread', ran(10 * minute), initialPace, 5, 20],
    ['a connection of 12 h: spread', ran(720 * minute), initialPace, 5, 20],
    ['a run of 20 s', ran(20 * second), initialPace, 5, 7],
    ['a run that exits at once, the first one', ran(6), initialPace, 2.5, 5],
    ['a run that exits at once, the second one', ran(6), { failures: 1, reconnecting: false }, 5, 10],
    ['a run that exits at once, the twentieth', ran(6), { failures: 19, reconnecting: false }, 150, 300],
    ['a run of 19 s, the fourth', ran(19 * second), { failures: 3, reconnecting: false }, 20, 40],
    ['a first reconnect whose run exits at once: spread', ran(6), reconnecting, 2.5, 17.5],
    ['a first reconnect that fails: spread', nothing, reconnecting, 2.5, 17.5],
    ['no answer, the twentieth time', nothing, { failures: 19, reconnecting: false }, 150, 300],
    ['a first refusal of the keys', refused(30 * second), reconnecting, 2.5, 17.5],
    ['a later one: asked when it counts', refused(4 * second), { failures: 4, reconnecting: false }, 4, 6],
    ['revoked keys', revoked, { failures: 5, reconnecting: false }, 900, 1_800],
  ])('after %s', (_title, turn, before, least, most) => {
    expect(pauses(turn, before)).toEqual([least, most]);
  });

  it('forgets failures after a run that lasted, and only then', () => {
    const before: Pace = { failures: 7, reconnecting: false };
    const after = (turn: Turn): Pace => choosePause(turn, before, defaultLimits, 0.5).pace;
    expect(after(ran(30 * second))).toEqual(reconnecting);
    for (const turn of [ran(3 * second), nothing, refused(1), revoked]) {
      expect(after(turn)).toEqual({ failures: 8, reconnecting: false });
    }
  });

  it('is never longer than the longest of its limits, whatever happened', () => {
    const turn = fc.oneof(
      fc.nat({ max: 1e9 }).map(ran),
      fc.nat({ max: 60_000 }).map(refused),
      fc.constant(nothing),
      fc.constant(revoked),
    );
    const before = fc.record({ failures: fc.nat({ max: 5_000 }), reconnecting: fc.boolean() });
    fc.assert(
      fc.property(turn, before, fc.double({ min: 0, max: 0.999, noNaN: true }), (each, pace, random) => {
        const { pause } = choosePause(each, pace, defaultLimits, random);
        expect(pause).toBeGreaterThan(0);
        const most =
          each.kind === 'revoked' ? defaultLimits.CREDENTIALS_PAUSE : defaultLimits.BOOTSTRAP_PAUSE_MAX;
        expect(pause).toBeLessThanOrEqual(most);
      }),
    );
  });
});

it.each([
  [6, false],
  [19_999, false],
  [20_000, true],
  // Five retries of curl: 1 + 2 + 4 + 8 + 16 s.
  [31_000, true],
])('a run of %d ms has lasted: %s', (ms, expected) => {
  expect(hasLasted(ran(ms), defaultLimits)).toBe(expected);
});
