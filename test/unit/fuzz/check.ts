import { existsSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, expect } from 'vitest';
import { mark } from '../../support/faults/spoilt.ts';

/**
 * Input from the network, the engine or the disk of the host is read or refused within a limited time, and no part of
 * it is executed. Each case damages a valid input, so that it passes the first check.
 */

/** Cases of each property; one property has a tenth of them. */
export const numRuns = Number(process.env['FC_RUNS'] ?? 1_500);
/** The limit of a single case, in ms. A case that takes longer has met a loop that grows with its input. */
export const longestCase = 500;
export const seed = 20_160_801;

/** Fails the test file if anything of its input was executed. */
export function expectNothingExecuted(): void {
  afterAll(() => {
    expect(existsSync(mark), 'something was executed').toBe(false);
  });
}

export function isList(text: string): boolean {
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
}

export function timed(work: () => void): void {
  const begun = performance.now();
  work();
  expect(performance.now() - begun).toBeLessThan(longestCase);
}

/**
 * @param property returns whether the case was accepted; undefined: it is neither. Some cases must be accepted, and
 * some must not
 */
export function check<T>(cases: fc.Arbitrary<T>, property: (value: T) => boolean | undefined): void {
  const count = { accepted: 0, refused: 0 };
  const counted = (value: T): void => {
    const accepted = property(value);
    if (accepted !== undefined) count[accepted ? 'accepted' : 'refused']++;
  };
  fc.assert(
    fc.property(cases, (value) => timed(() => counted(value))),
    { numRuns, seed },
  );
  if (count.accepted + count.refused === 0) return;
  expect(Math.min(count.accepted, count.refused), JSON.stringify(count)).toBeGreaterThan(numRuns / 100);
}
