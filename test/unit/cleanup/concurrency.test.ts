import { describe, expect, it } from 'vitest';
import { Pace } from '../../../src/cleanup/concurrency.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';

/** Feeds it so many removals that take `latency` ms at the number that goes on then. @returns the numbers on the way */
function feed(pace: Pace, count: number, latency: (parallel: number) => number): readonly number[] {
  return Array.from({ length: count }, () => {
    pace.took(latency(pace.parallel));
    return pace.parallel;
  });
}

describe('removals at a time', () => {
  it('begin with one, double each round on an engine that is well, and stop at the bound', () => {
    const pace = new Pace(defaultLimits);
    expect(pace.parallel).toBe(1);
    expect(feed(pace, 7, () => 20)).toEqual([2, 2, 4, 4, 4, 4, 8]);
    expect(feed(pace, 1_000, () => 20).at(-1)).toBe(defaultLimits.CLEANUP_PARALLEL);
  });

  it('are halved as soon as the engine slows down, once for all that were in hand, and grow by one a round from then on', () => {
    const pace = new Pace(defaultLimits);
    feed(pace, 1_000, () => 20);
    const most = defaultLimits.CLEANUP_PARALLEL;
    expect(feed(pace, most, () => 1_500)).toEqual(Array.from({ length: most }, () => most / 2));
    expect(feed(pace, 1, () => 1_500)).toEqual([most / 4]);
    // Those that were in hand say nothing.
    feed(pace, most / 2 - 1, () => 20);
    expect(feed(pace, most / 4, () => 20).at(-1)).toBe(most / 4 + 1);
    expect(feed(pace, 3_000, () => 20).at(-1)).toBe(most);
  });

  it('find the number that an engine takes which does one at a time', () => {
    const pace = new Pace(defaultLimits);
    const numbers = feed(pace, 1_000, (parallel) => 200 * parallel).slice(500);
    expect(Math.max(...numbers)).toBeLessThanOrEqual(7);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(2);
  });

  it('stay at one on an engine that takes seconds for each', () => {
    const pace = new Pace(defaultLimits);
    expect(new Set(feed(pace, 200, () => 3_000))).toEqual(new Set([1]));
  });

  it('are not fewer for what is quick by any measure', () => {
    const pace = new Pace(defaultLimits);
    feed(pace, 1_000, () => 1);
    expect(new Set(feed(pace, 100, () => 999))).toEqual(new Set([defaultLimits.CLEANUP_PARALLEL]));
  });

  it('are one while somebody else needs the engine, and as many as before afterwards', () => {
    const pace = new Pace(defaultLimits);
    feed(pace, 1_000, () => 20);
    pace.hold(true);
    expect(pace.parallel).toBe(1);
    pace.hold(false);
    expect(pace.parallel).toBe(defaultLimits.CLEANUP_PARALLEL);
  });

  it('begin anew when the engine did not answer', () => {
    const pace = new Pace(defaultLimits);
    feed(pace, 1_000, () => 20);
    pace.unanswered();
    expect(pace.parallel).toBe(1);
  });

  it('are never more than was allowed', () => {
    expect(new Set(feed(new Pace(defaultLimits, 1), 100, () => 1))).toEqual(new Set([1]));
  });
});
