import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../src/cleanup/concurrency.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';

/** Reports so many removals that take `latency` ms at the number that runs then. @returns the numbers on the way */
function feed(
  concurrency: Concurrency,
  count: number,
  latency: (parallel: number) => number,
): readonly number[] {
  return Array.from({ length: count }, () => {
    concurrency.took(latency(concurrency.parallel));
    return concurrency.parallel;
  });
}

describe('removals at a time', () => {
  it('begin with one, double each round on a healthy engine, and stop at the limit', () => {
    const concurrency = new Concurrency(defaultLimits);
    expect(concurrency.parallel).toBe(1);
    expect(feed(concurrency, 7, () => 20)).toEqual([2, 2, 4, 4, 4, 4, 8]);
    expect(feed(concurrency, 1_000, () => 20).at(-1)).toBe(defaultLimits.CLEANUP_PARALLEL);
  });

  it('are halved as soon as the engine slows down, once for all in progress, and grow by one a round from then on', () => {
    const concurrency = new Concurrency(defaultLimits);
    feed(concurrency, 1_000, () => 20);
    const most = defaultLimits.CLEANUP_PARALLEL;
    expect(feed(concurrency, most, () => 1_500)).toEqual(Array.from({ length: most }, () => most / 2));
    expect(feed(concurrency, 1, () => 1_500)).toEqual([most / 4]);
    // Those that were in progress prove nothing.
    feed(concurrency, most / 2 - 1, () => 20);
    expect(feed(concurrency, most / 4, () => 20).at(-1)).toBe(most / 4 + 1);
    expect(feed(concurrency, 3_000, () => 20).at(-1)).toBe(most);
  });

  it('settle at a number that suits an engine which removes one at a time', () => {
    const concurrency = new Concurrency(defaultLimits);
    const numbers = feed(concurrency, 1_000, (parallel) => 200 * parallel).slice(500);
    expect(Math.max(...numbers)).toBeLessThanOrEqual(7);
    expect(Math.min(...numbers)).toBeGreaterThanOrEqual(2);
  });

  it('removals stay at one at a time on an engine that takes seconds for each', () => {
    const concurrency = new Concurrency(defaultLimits);
    expect(new Set(feed(concurrency, 200, () => 3_000))).toEqual(new Set([1]));
  });

  it('are not fewer for removals that are fast by any measure', () => {
    const concurrency = new Concurrency(defaultLimits);
    feed(concurrency, 1_000, () => 1);
    expect(new Set(feed(concurrency, 100, () => 999))).toEqual(new Set([defaultLimits.CLEANUP_PARALLEL]));
  });

  it('removals are one at a time while somebody else needs the engine, and as many as before afterwards', () => {
    const concurrency = new Concurrency(defaultLimits);
    feed(concurrency, 1_000, () => 20);
    concurrency.hold(true);
    expect(concurrency.parallel).toBe(1);
    concurrency.hold(false);
    expect(concurrency.parallel).toBe(defaultLimits.CLEANUP_PARALLEL);
  });

  it('begin again with one when the engine did not answer', () => {
    const concurrency = new Concurrency(defaultLimits);
    feed(concurrency, 1_000, () => 20);
    concurrency.unanswered();
    expect(concurrency.parallel).toBe(1);
  });

  it('are never more than allowed', () => {
    expect(new Set(feed(new Concurrency(defaultLimits, 1), 100, () => 1))).toEqual(new Set([1]));
  });
});
