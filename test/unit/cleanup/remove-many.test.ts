import { beforeEach, describe, expect, it } from 'vitest';
import { Concurrency } from '../../../src/cleanup/concurrency.ts';
import { removeMany } from '../../../src/cleanup/remove-many.ts';
import {
  cleanupRules,
  sweepRules,
  type Patience,
  type Removal,
  type RemovalProgress,
  type RemovalSummary,
} from '../../../src/cleanup/removal.ts';
import type { Suspect } from '../../../src/cleanup/leaks.ts';
import type { RemovalResult } from '../../../src/cleanup/remove.ts';
import type { Clock } from '../../../src/support/clock.ts';
import { DeadlineError } from '../../../src/support/deadline.ts';
import { EngineUnavailableError, InterruptedError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { leakedSummary } from '../fakes/leaked.ts';

const removed: RemovalResult = { kind: 'removed' };
const busy: RemovalResult = { kind: 'failed', originalMessage: 'device or resource busy' };
const immutable: RemovalResult = { kind: 'failed', originalMessage: 'operation not permitted' };
const refused: RemovalResult = unanswered(new Error('ECONNREFUSED'));
const late: RemovalResult = unanswered(new DeadlineError('remove', 1));

function unanswered(cause: Error): RemovalResult {
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
let progress: RemovalProgress[];
let inProgress: number;
let mostInProgress: number;

beforeEach(() => {
  stop = new AbortController();
  time = 0;
  tried = [];
  progress = [];
  inProgress = 0;
  mostInProgress = 0;
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

/** The result for each, try for try; `removed` where it names none. */
type Script = Readonly<Record<string, readonly (RemovalResult | (() => Promise<RemovalResult>))[]>>;

async function run(
  ids: readonly string[],
  script: Script = {},
  parts: Omit<Partial<Removal>, 'limits' | 'patience'> & {
    limits?: object;
    patience?: Partial<Patience>;
  } = {},
): Promise<RemovalSummary> {
  const limits = { ...defaultLimits, ...parts.limits };
  const tries = new Map<string, number>();
  const remove = async ({ container: { id } }: Suspect): Promise<RemovalResult> => {
    tried.push(id);
    inProgress += 1;
    mostInProgress = Math.max(mostInProgress, inProgress);
    const count = tries.get(id) ?? 0;
    tries.set(id, count + 1);
    await new Promise((resolve) => setImmediate(resolve));
    time += 10;
    const result = script[id]?.[count] ?? script[id]?.at(-1) ?? removed;
    try {
      return typeof result === 'function' ? await result() : result;
    } finally {
      inProgress -= 1;
    }
  };
  return removeMany({
    suspects: ids.map((id) => ({ kind: 'inspect-host', container: leakedSummary({ id }) })),
    remove,
    rules: cleanupRules(limits),
    clock,
    concurrency: new Concurrency(limits),
    signal: stop.signal,
    onProgress: (now) => progress.push(now),
    ...parts,
    patience: {
      abandon: () => undefined,
      probe: async () => Promise.resolve(),
      isWorkerRunning: async () => Promise.resolve(false),
      hasRoom: async () => Promise.resolve(true),
      ...parts.patience,
    },
    limits,
  });
}

const many = (count: number): readonly string[] => Array.from({ length: count }, (_, index) => `c${index}`);

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
    tried = [];
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
