import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../src/cleanup/concurrency.ts';
import type { RemovalResult } from '../../../src/cleanup/remove.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import {
  removed,
  refused,
  late,
  time,
  tried,
  progress,
  inProgress,
  mostInProgress,
  stageRemovals,
  run,
  many,
} from './removal-stage.ts';

stageRemovals();

describe('an engine that goes away', () => {
  it('is waited for until it answers again, and nothing counts as failed', async () => {
    let asked = 0;
    const probe = async (): Promise<void> => {
      asked += 1;
      return asked < 4 ? Promise.reject(new Error('ECONNREFUSED')) : Promise.resolve();
    };
    const result = await run(
      many(30),
      { c4: [refused, removed], c5: [refused, removed] },
      { patience: { probe } },
    );
    expect(result).toMatchObject({ end: 'all', removed: 30, failures: [], left: 0 });
    expect(progress.some(({ waiting }) => waiting === 'engine')).toBe(true);
  });

  it('ends the run if it stays away, and the rest is left', async () => {
    const probe = async (): Promise<void> => Promise.reject(new Error('ECONNREFUSED'));
    const result = await run(
      many(30),
      { c4: [refused] },
      { patience: { probe }, limits: { CLEANUP_PARALLEL: 1 } },
    );
    expect(result).toMatchObject({ end: 'away', removed: 4, failures: [], left: 26 });
    expect(time).toBeLessThan(defaultLimits.CLEANUP_AWAY * 1.5);
  });

  it('is not blamed for one removal that hangs: that one fails after its second deadline, and the others are removed', async () => {
    const result = await run(['a', 'b', 'c'], { a: [late] });
    expect(result).toMatchObject({
      end: 'all',
      removed: 2,
      failures: [{ examples: ['a'], cause: 'unanswered' }],
    });
    expect(tried.filter((id) => id === 'a')).toHaveLength(2);
  });
});

describe('a removal whose connection is cut', () => {
  it('counts as a try, after all others: it is not repeated for ever', async () => {
    const result = await run(['a', 'b', 'c'], { a: [refused] });
    expect(result).toMatchObject({
      end: 'all',
      removed: 2,
      failures: [{ examples: ['a'], cause: 'unanswered' }],
    });
    expect(tried.filter((id) => id === 'a')).toHaveLength(2);
    expect(tried.at(-1)).toBe('a');
  });

  it('pauses the run, and longer each time', async () => {
    const script = Object.fromEntries(many(4).map((id) => [id, [refused]]));
    await run(many(4), script);
    const { CALL_PAUSE } = defaultLimits;
    expect(time).toBeGreaterThanOrEqual((1 + 2 + 4 + 8) * CALL_PAUSE);
  });

  it('ends the run if all others are cut as well', async () => {
    const script = Object.fromEntries(many(6_000).map((id) => [id, [refused]]));
    const result = await run(many(6_000), script);
    expect(result).toMatchObject({ end: 'failures', removed: 0, left: 6_000 });
    expect(tried.length).toBeLessThanOrEqual(defaultLimits.CLEANUP_FAILURES + 1);
  });

  it('counts once in a row with those that the same restart of the engine has cut off', async () => {
    const script = Object.fromEntries(many(64).map((id) => [id, [refused, removed]]));
    const result = await run(many(700), script, { limits: { CLEANUP_FAILURES: 3 } });
    expect(result).toMatchObject({ end: 'failures' });
    const once = Object.fromEntries(many(3).map((id) => [id, [refused, removed]]));
    tried.length = 0;
    expect(await run(many(700), once, { limits: { CLEANUP_FAILURES: 5 } })).toMatchObject({
      end: 'all',
      removed: 700,
    });
  });
});

it('removals that all hang end the run: each leaves a call in the engine', async () => {
  const script = Object.fromEntries(many(6_000).map((id) => [id, [late]]));
  const result = await run(many(6_000), script);
  expect(result.end).toBe('failures');
  expect(tried.length).toBeLessThanOrEqual(defaultLimits.CLEANUP_FAILURES + defaultLimits.CLEANUP_PARALLEL);
});

describe('a storage that cannot take a change', () => {
  it.each([
    [
      'a full pool',
      'Driver devicemapper failed to remove init filesystem: Error running deviceSuspend dm_task_run failed',
    ],
    ['a file system that became read-only', 'unlinkat /var/lib/docker/x: read-only file system'],
    ['no inodes', 'mkdir /var/lib/docker/x: no space left on device'],
  ])('%s ends the run at the first failure, and the rest is left', async (_title, originalMessage) => {
    const failure: RemovalResult = { kind: 'failed', originalMessage };
    const script = Object.fromEntries(many(100).map((id) => [id, [failure]]));
    const result = await run(many(100), script);
    expect(result).toMatchObject({
      end: 'storage',
      removed: 0,
      failed: 1,
      left: 99,
      lastFailure: originalMessage,
    });
    expect(tried).toEqual(['c0']);
  });

  it('does not end a run whose device is busy', async () => {
    const originalMessage = 'Driver devicemapper failed to remove root filesystem x: Device is Busy';
    const result = await run(['a', 'b'], { a: [{ kind: 'failed', originalMessage }] });
    expect(result).toMatchObject({ end: 'all', removed: 1, failures: [{ cause: 'held' }] });
  });
});

describe('a storage that is low', () => {
  it('gets one removal at a time until it has room, and then as many as ever', async () => {
    let looks = 0;
    const hasRoom = async (): Promise<boolean> => {
      looks += 1;
      return Promise.resolve(looks === 3);
    };
    const limits = { CLEANUP_GLANCE: 100, CLEANUP_SPACE: 200 };
    const concurrency = new Concurrency({ ...defaultLimits, ...limits }, 1);
    const atOnce: number[] = [];
    const result = await run(
      many(300),
      {},
      {
        concurrency,
        limits,
        patience: { hasRoom },
        onProgress: () => atOnce.push(looks < 3 ? inProgress : 0),
      },
    );
    expect(result).toMatchObject({ end: 'all', removed: 300 });
    expect(Math.max(...atOnce)).toBeLessThanOrEqual(1);
    expect(mostInProgress).toBeGreaterThan(8);
    expect(looks).toBe(3);
  });
});
