import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findLoss, judgeStanding } from '../../../../src/host/files/lock.ts';

describe('judgeStanding', () => {
  const now = 1_000_000;
  it('finds a live lock whatever dead ones lie beside it', () => {
    const entries = [
      { generation: 3, touchedAt: now - 1_000 },
      { generation: 4, touchedAt: now - 60_000 },
    ];
    expect(judgeStanding(entries, 0, 30_000, now)).toEqual({ kind: 'held', by: 3 });
  });

  it('takes a lock from far in the future for dead, so that a clock set back locks nobody out', () => {
    expect(judgeStanding([{ generation: 1, touchedAt: now + 3_600_000 }], 0, 30_000, now)).toEqual({
      kind: 'free',
      next: 2,
    });
  });

  it('never gives a number twice', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50)), fc.nat(50), (generations, lastKnown) => {
        const entries = generations
          .map((generation) => ({ generation, touchedAt: 0 }))
          .sort((a, b) => a.generation - b.generation);
        const standing = judgeStanding(entries, lastKnown, 1, now);
        return (
          standing.kind === 'free' &&
          standing.next > lastKnown &&
          entries.every((entry) => entry.generation < standing.next)
        );
      }),
    );
  });
});

describe('findLoss', () => {
  const now = 1_000_000;
  const mine = { generation: 2, touchedAt: now };
  it.each([
    ['still ours', [mine], undefined],
    ['a dead one beside it', [{ generation: 1, touchedAt: 0 }, mine], undefined],
    ['removed', [], 'its folder was removed'],
    ['taken over', [mine, { generation: 3, touchedAt: now }], 'another process took it over'],
    ['a newer one tried and died', [mine, { generation: 3, touchedAt: 0 }], undefined],
    [
      'not refreshed, as on a disk that went read-only',
      [{ generation: 2, touchedAt: 0 }],
      'it could not be refreshed in time',
    ],
  ])('%s', (_case, entries, loss) => {
    expect(findLoss(entries, 2, 30_000, now)).toBe(loss);
  });
});
