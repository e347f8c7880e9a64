import { beforeEach, describe, expect, it } from 'vitest';
import {
  cleanUp,
  type Cleanup,
  type CleanupProgress,
  type CleanupResult,
} from '../../../src/cleanup/remove-many.ts';
import { Pace } from '../../../src/cleanup/concurrency.ts';
import type { Fate } from '../../../src/cleanup/remove.ts';
import type { Clock } from '../../../src/support/clock.ts';
import { DeadlineError } from '../../../src/support/deadline.ts';
import { EngineUnavailableError, InterruptedError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';

const removed: Fate = { kind: 'removed' };
const busy: Fate = { kind: 'failed', originalMessage: 'device or resource busy' };
const immutable: Fate = { kind: 'failed', originalMessage: 'operation not permitted' };
const refused: Fate = unanswered(new Error('ECONNREFUSED'));
const late: Fate = unanswered(new DeadlineError('remove', 1));

function unanswered(cause: Error): Fate {
  return {
    kind: 'unanswered',
    originalMessage: cause.message,
    error: new EngineUnavailableError('remove', { cause }),
  };
}

let stop: AbortController;
let time: number;
/** Ids in the order in which their removal began. */
let tried: string[];
let progress: CleanupProgress[];
let inHand: number;
let mostInHand: number;

beforeEach(() => {
  stop = new AbortController();
  time = 0;
  tried = [];
  progress = [];
  inHand = 0;
  mostInHand = 0;
});

/** Time passes while somebody sleeps; a sleep ends when its signal says so. */
const clock: Clock = {
  now: () => time,
  elapsed: () => time,
  async sleep(ms, signal) {
    signal?.throwIfAborted();
    time += ms;
    return new Promise((resolve, reject) => {
      setTimeout(resolve, 5);
      signal?.addEventListener('abort', () => {
        reject(new Error('woken'));
      });
    });
  },
  random: () => 0.5,
};

/** What becomes of each, try for try; `removed` for all that isn't told. */
type Script = Readonly<Record<string, readonly (Fate | (() => Promise<Fate>))[]>>;

async function run(
  ids: readonly string[],
  script: Script = {},
  parts: Omit<Partial<Cleanup>, 'limits'> & { limits?: object } = {},
): Promise<CleanupResult> {
  const limits = { ...defaultLimits, ...parts.limits };
  const tries = new Map<string, number>();
  const jobs = ids.map((id) => ({
    id,
    remove: async () => {
      tried.push(id);
      inHand += 1;
      mostInHand = Math.max(mostInHand, inHand);
      const count = tries.get(id) ?? 0;
      tries.set(id, count + 1);
      await new Promise((resolve) => setImmediate(resolve));
      time += 10;
      const fate = script[id]?.[count] ?? script[id]?.at(-1) ?? removed;
      try {
        return typeof fate === 'function' ? await fate() : fate;
      } finally {
        inHand -= 1;
      }
    },
  }));
  return cleanUp({
    jobs,
    clock,
    pace: new Pace(limits),
    signal: stop.signal,
    abandon: () => undefined,
    probe: async () => Promise.resolve(),
    isWorkerRunning: async () => Promise.resolve(false),
    onProgress: (now) => progress.push(now),
    ...parts,
    limits,
  });
}

const many = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `c${index}`);

describe('many containers', () => {
  it('go, several at a time and never more than the bound, in their order', async () => {
    const result = await run(many(700));
    expect(result).toMatchObject({ end: 'all', removed: 700, failures: [], left: 0 });
    expect(tried).toEqual(many(700));
    expect(mostInHand).toBe(defaultLimits.CLEANUP_PARALLEL);
    expect(progress.at(-1)).toMatchObject({ total: 700, removed: 700, failed: 0, inHand: 0 });
  });

  it('that are none end at once', async () => {
    expect(await run([])).toMatchObject({ end: 'all', removed: 0, left: 0 });
  });

  it('that turned out to be no leaked helpers are counted by the reason', async () => {
    const kept = (because: 'gone' | 'has not ended'): Fate => ({ kind: 'kept', because });
    const result = await run(['a', 'b', 'c'], {
      a: [kept('gone')],
      b: [kept('has not ended')],
      c: [kept('gone')],
    });
    expect(Object.fromEntries(result.skipped)).toEqual({ gone: 2, 'has not ended': 1 });
    expect(result).toMatchObject({ removed: 0, left: 0 });
  });

  it('go one at a time while a worker is at work', async () => {
    await run(many(50), {}, { isWorkerRunning: async () => Promise.resolve(true) });
    expect(mostInHand).toBe(1);
    expect(progress.at(-1)?.waiting).toBe('worker');
  });
});

describe('one that cannot be removed', () => {
  it('is tried once, if nothing will change, and told with the engine’s words', async () => {
    const result = await run(['a', 'b', 'c'], { b: [immutable] });
    expect(result).toMatchObject({ end: 'all', removed: 2, left: 0 });
    expect(result.failures).toEqual([
      { id: 'b', cause: 'immutable', originalMessage: 'operation not permitted' },
    ]);
    expect(tried).toEqual(['a', 'b', 'c']);
  });

  it('because its mount is held is tried once more when all others are gone, and no third time', async () => {
    const result = await run(['a', 'b', 'c'], { a: [busy, removed], b: [busy] });
    expect(result).toMatchObject({ removed: 2, failures: [{ id: 'b', cause: 'held' }] });
    expect(tried.toSorted()).toEqual(['a', 'a', 'b', 'b', 'c']);
    expect(tried[0]).toBe('a');
    expect(tried.slice(-2).toSorted()).toEqual(['a', 'b']);
  });

  it('among many others that can’t be either ends it: the storage is sick', async () => {
    const script = Object.fromEntries(many(100).map((id) => [id, [immutable]]));
    const result = await run(many(100), script, { limits: { CLEANUP_FAILURES: 5, CLEANUP_PARALLEL: 1 } });
    expect(result).toMatchObject({ end: 'failures', removed: 0, left: 95 });
    expect(result.failures).toHaveLength(5);
  });

  it('in front of one that can does not end it: they must be in a row', async () => {
    const script = Object.fromEntries(
      many(60)
        .filter((_, index) => index % 2 === 0)
        .map((id) => [id, [immutable]]),
    );
    const result = await run(many(60), script, { limits: { CLEANUP_FAILURES: 2, CLEANUP_PARALLEL: 1 } });
    expect(result).toMatchObject({ end: 'all', removed: 30 });
  });
});

describe('an engine that goes away', () => {
  it('and comes back is waited for: nothing counts as failed', async () => {
    let asked = 0;
    const probe = async (): Promise<void> => {
      asked += 1;
      return asked < 4 ? Promise.reject(new Error('ECONNREFUSED')) : Promise.resolve();
    };
    const result = await run(many(30), { c4: [refused, removed], c5: [refused, removed] }, { probe });
    expect(result).toMatchObject({ end: 'all', removed: 30, failures: [], left: 0 });
    expect(progress.some(({ waiting }) => waiting === 'engine')).toBe(true);
  });

  it('for good ends it, with all that is left', async () => {
    const probe = async (): Promise<void> => Promise.reject(new Error('ECONNREFUSED'));
    const result = await run(many(30), { c4: [refused] }, { probe, limits: { CLEANUP_PARALLEL: 1 } });
    expect(result).toMatchObject({ end: 'away', removed: 4, failures: [], left: 26 });
    expect(time).toBeLessThan(defaultLimits.CLEANUP_AWAY * 1.5);
  });

  it('a removal that hangs while the engine is well is given up after its second deadline; the others go', async () => {
    const result = await run(['a', 'b', 'c'], { a: [late] });
    expect(result).toMatchObject({ end: 'all', removed: 2, failures: [{ id: 'a', cause: 'unanswered' }] });
    expect(tried.filter((id) => id === 'a')).toHaveLength(2);
  });
});

describe('a signal', () => {
  it('ends it behind the removals in hand, and what is left is counted', async () => {
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
    expect(inHand).toBe(0);
  });

  it('abandons those in hand that take too long: they are left, not failed', async () => {
    let abandoned: Error | undefined;
    const { promise: hanging, reject } = Promise.withResolvers<Fate>();
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
    const result = await run(['a', 'b'], script, { abandon });
    expect(result).toMatchObject({ end: 'interrupted', removed: 0, failures: [], left: 2 });
    expect(abandoned?.message).toContain('in hand');
  });

  it('that came before ends it before anything is touched', async () => {
    stop.abort(new InterruptedError('SIGINT'));
    expect(await run(['a'])).toMatchObject({ end: 'interrupted', removed: 0, left: 1 });
    expect(tried).toEqual([]);
  });

  it('while an engine is waited for ends the waiting', async () => {
    const probe = async (): Promise<void> => {
      setTimeout(() => {
        stop.abort(new InterruptedError('SIGINT'));
      }, 5);
      return new Promise(() => undefined);
    };
    expect(await run(['a', 'b'], { a: [refused] }, { probe })).toMatchObject({ end: 'interrupted', left: 2 });
  });
});

it('a defect is not taken for a sick engine', async () => {
  const broken = async (): Promise<Fate> => Promise.reject(new TypeError('x is not a function'));
  await expect(run(many(10), { c3: [broken] })).rejects.toThrow('x is not a function');
});
