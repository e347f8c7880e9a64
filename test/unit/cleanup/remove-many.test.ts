import { describe, expect, it } from 'vitest';
import { Concurrency } from '../../../src/cleanup/concurrency.ts';
import { sweepRules } from '../../../src/cleanup/removal.ts';
import type { RemovalResult } from '../../../src/cleanup/remove.ts';
import { InterruptedError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import {
  removed,
  busy,
  immutable,
  refused,
  stop,
  tried,
  progress,
  inProgress,
  mostInProgress,
  stageRemovals,
  run,
  many,
  type Script,
} from './removal-stage.ts';

stageRemovals();

describe('many containers', () => {
  it('are removed in their order, several at a time and never more than the limit', async () => {
    const result = await run(many(700));
    expect(result).toMatchObject({ end: 'all', removed: 700, failures: [], left: 0 });
    expect(tried).toEqual(many(700));
    expect(mostInProgress).toBe(defaultLimits.CLEANUP_PARALLEL);
    expect(progress.at(-1)).toMatchObject({ total: 700, done: 700, failed: 0, inProgress: 0 });
  });

  it('end the run at once if there are none', async () => {
    expect(await run([])).toMatchObject({ end: 'all', removed: 0, left: 0 });
  });

  it('are counted by the reason if they turned out to be no leaks', async () => {
    const kept = (reason: 'gone' | 'has not exited'): RemovalResult => ({ kind: 'kept', reason });
    const result = await run(['a', 'b', 'c'], {
      a: [kept('gone')],
      b: [kept('has not exited')],
      c: [kept('gone')],
    });
    expect(Object.fromEntries(result.kept)).toEqual({ gone: 2, 'has not exited': 1 });
    expect(result).toMatchObject({ removed: 0, left: 0 });
  });

  it('are removed one at a time while a worker runs', async () => {
    await run(many(50), {}, { patience: { isWorkerRunning: async () => Promise.resolve(true) } });
    expect(mostInProgress).toBe(1);
    expect(progress.at(-1)?.waiting).toBe('worker');
  });
});

describe('a container that cannot be removed', () => {
  it('is tried once if nothing will change, and reported with the message of the engine', async () => {
    const result = await run(['a', 'b', 'c'], { b: [immutable] });
    expect(result).toMatchObject({ end: 'all', removed: 2, left: 0 });
    expect(result.failures).toEqual([
      {
        cause: 'immutable',
        count: 1,
        originalMessage: 'operation not permitted',
        examples: ['b'],
        holders: [],
      },
    ]);
    expect(result.lastFailure).toBe('operation not permitted');
    expect(tried).toEqual(['a', 'b', 'c']);
  });

  it('is tried once more when all others are gone if its mount is held, and no third time', async () => {
    const result = await run(['a', 'b', 'c'], { a: [busy, removed], b: [busy] });
    expect(result).toMatchObject({ removed: 2, failures: [{ examples: ['b'], cause: 'held' }] });
    expect(tried.toSorted()).toEqual(['a', 'a', 'b', 'b', 'c']);
    expect(tried[0]).toBe('a');
    expect(tried.slice(-2).toSorted()).toEqual(['a', 'b']);
  });

  it('ends the run if many others cannot be removed either', async () => {
    const script = Object.fromEntries(many(100).map((id) => [id, [immutable]]));
    const result = await run(many(100), script, { limits: { CLEANUP_FAILURES: 5, CLEANUP_PARALLEL: 1 } });
    expect(result).toMatchObject({ end: 'failures', removed: 0, left: 95 });
    expect(result.failures).toMatchObject([{ cause: 'immutable', count: 5 }]);
  });

  it('does not end the run if others are removed in between', async () => {
    const script = Object.fromEntries(
      many(60)
        .filter((_, index) => index % 2 === 0)
        .map((id) => [id, [immutable]]),
    );
    const result = await run(many(60), script, { limits: { CLEANUP_FAILURES: 2, CLEANUP_PARALLEL: 1 } });
    expect(result).toMatchObject({ end: 'all', removed: 30 });
  });
});

describe('a signal', () => {
  it('ends the run after the removals in progress, and the rest is left', async () => {
    const script: Script = {
      c20: [
        async () => {
          stop.abort(new InterruptedError('SIGINT'));
          return Promise.resolve(removed);
        },
      ],
    };
    const result = await run(many(100), script);
    expect(result.end).toBe('interrupted');
    expect(result.removed).toBe(tried.length);
    expect(result.left).toBe(100 - tried.length);
    expect(tried.length).toBeLessThan(21 + 32);
    expect(inProgress).toBe(0);
  });

  it('abandons removals in progress that take too long: they are left, not failed', async () => {
    let abandoned: Error | undefined;
    const { promise: hanging, reject } = Promise.withResolvers<RemovalResult>();
    const script: Script = {
      a: [
        async () => {
          stop.abort(new InterruptedError('SIGTERM'));
          return hanging;
        },
      ],
    };
    const abandon = (reason: Error): void => {
      abandoned = reason;
      reject(reason);
    };
    const result = await run(['a', 'b'], script, { patience: { abandon } });
    expect(result).toMatchObject({ end: 'interrupted', removed: 0, failures: [], left: 2 });
    expect(abandoned?.message).toContain('in progress');
  });

  it('ends the run before anything is touched if it came before', async () => {
    stop.abort(new InterruptedError('SIGINT'));
    expect(await run(['a'])).toMatchObject({ end: 'interrupted', removed: 0, left: 1 });
    expect(tried).toEqual([]);
  });

  it('ends the wait for an engine', async () => {
    const probe = async (): Promise<void> => {
      setTimeout(() => {
        stop.abort(new InterruptedError('SIGINT'));
      }, 5);
      return new Promise(() => undefined);
    };
    expect(await run(['a', 'b'], { a: [refused] }, { patience: { probe } })).toMatchObject({
      end: 'interrupted',
      left: 2,
    });
  });
});

it('an unexpected error ends the run, and the summary has it', async () => {
  const broken = async (): Promise<RemovalResult> => Promise.reject(new TypeError('x is not a function'));
  const result = await run(many(10), { c3: [broken] });
  expect(result).toMatchObject({ end: 'error', failed: 0 });
  expect(result.error?.message).toBe('x is not a function');
});

describe('a dry run', () => {
  it('counts what a cleanup would remove, and removes nothing', async () => {
    const would: RemovalResult = { kind: 'would-remove' };
    const result = await run(['a', 'b', 'c'], {
      a: [would],
      b: [{ kind: 'kept', reason: 'gone' }],
      c: [would],
    });
    expect(result).toMatchObject({ end: 'all', removed: 0, left: 0 });
    expect(result.wouldRemove.map(({ container }) => container.id)).toEqual(['a', 'c']);
    expect(progress.at(-1)).toMatchObject({ total: 3, done: 3 });
  });
});

describe('the rules of a sweep', () => {
  it('end the run after so many removals, and each container has one try', async () => {
    const rules = sweepRules({ ...defaultLimits, SWEEP_COUNT: 3 });
    const result = await run(
      many(10),
      { c1: [busy] },
      { rules, concurrency: new Concurrency(defaultLimits, 1) },
    );
    expect(result).toMatchObject({ end: 'count', removed: 2, failed: 1, left: 7 });
    expect(tried).toEqual(['c0', 'c1', 'c2']);
  });
});
