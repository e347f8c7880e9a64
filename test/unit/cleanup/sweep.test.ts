import { beforeEach, describe, expect, it } from 'vitest';
import { selectProfile } from '../../../src/agent/identity/profile.ts';
import { namesOf } from '../../../src/agent/identity/roles.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import { sweepLeaks, type Sweep, type SweepResult } from '../../../src/cleanup/sweep.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog, type Log } from '../../../src/support/log.ts';
import { VirtualClock } from '../fakes/simulated-engine.ts';
import { LeakyEngine } from '../fakes/leaky-engine.ts';

let clock: VirtualClock;
let engine: LeakyEngine;
/** What a person reads, with its level. */
let originalMessage: string[];
let abort: AbortController;

beforeEach(() => {
  clock = new VirtualClock();
  engine = new LeakyEngine(clock);
  originalMessage = [];
  abort = new AbortController();
});

function leak(...ids: readonly string[]): void {
  for (const id of ids) engine.leak(id);
}

/** `a`, `b`, … in the order they leaked. */
function alphabet(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => String.fromCharCode(97 + index));
}

async function sweep(parts: Omit<Partial<Sweep>, 'limits'> & { limits?: object } = {}): Promise<SweepResult> {
  const log: Log = {
    ...silentLog,
    info: (message) => originalMessage.push(`INFO: ${message}`),
    warn: (message, fields) =>
      originalMessage.push(`WARN: ${message} (${String(fields?.['originalMessage'])})`),
  };
  return sweepLeaks({
    engine: engine as unknown as Engine,
    names: namesOf(selectProfile('rancher-1.2', {})),
    clock,
    log,
    signal: abort.signal,
    ...parts,
    limits: { ...defaultLimits, ...parts.limits },
  });
}

describe('a start on a host with leaked helpers', () => {
  it('sweeps them oldest first, each looked at again right before, never by force, and says so in one line', async () => {
    leak('a', 'b', 'c');
    const result = await sweep();
    expect(engine.calls).toEqual([
      ...['list', 'inspect a', 'remove a'],
      ...['inspect b', 'remove b', 'inspect c', 'remove c'],
    ]);
    expect(engine.forced).toEqual([]);
    expect(result).toEqual({
      found: 3,
      swept: 3,
      failed: 0,
      left: 0,
      end: 'all',
      originalMessage: undefined,
    });
    expect(originalMessage).toEqual(['INFO: swept 3 leaked helpers of older entrypoints, none left']);
  });

  it('sweeps no more than its part, and the next start goes on', async () => {
    leak(...alphabet(7));
    await sweep({ limits: { SWEEP_COUNT: 5 } });
    expect(engine.left).toEqual(['f', 'g']);
    await sweep({ limits: { SWEEP_COUNT: 1 } });
    await sweep({ limits: { SWEEP_COUNT: 1 } });
    expect(engine.left).toEqual([]);
    expect(originalMessage).toEqual([
      'INFO: swept 5 leaked helpers of older entrypoints, 2 left; the next start goes on',
      'INFO: swept 1 leaked helper of older entrypoints, 1 left; the next start goes on',
      'INFO: swept 1 leaked helper of older entrypoints, none left',
    ]);
  });

  it('that is clean says nothing, and costs one list', async () => {
    await sweep();
    expect(engine.calls).toEqual(['list']);
    expect(originalMessage).toEqual([]);
  });

  it('can be told to leave it', async () => {
    leak('a');
    await sweep({ limits: { SWEEP_COUNT: 0 } });
    expect(engine.calls).toEqual([]);
  });

  it('tells how many it found before it begins, and only if there are any', async () => {
    const told: string[] = [];
    const onFound = async (count: number): Promise<void> => {
      told.push(`${count} after ${engine.calls.join()}`);
      return Promise.resolve();
    };
    await sweep({ onFound });
    leak('a', 'b');
    await sweep({ onFound });
    expect(told).toEqual(['2 after list,list']);
  });
});

describe('what only looked like a leaked helper', () => {
  it.each([
    ['runs by now', { state: 'running' }],
    ['was given another name', { name: 'kept' }],
    ['turns out to be of another image', { image: 'debian', labels: {} }],
    ['turns out to have another command', { command: ['/run.sh inspect-host'] }],
    ['ended a moment ago', { finishedAt: Date.UTC(2026, 0, 1) }],
  ] as const)('stays when it %s, and the others go', async (_, inspected) => {
    leak('a');
    engine.leak('b', { inspected });
    leak('c');
    const result = await sweep();
    expect(engine.removals).toEqual(['a', 'c']);
    expect(result).toMatchObject({ swept: 2, failed: 0, left: 0, end: 'all' });
  });

  it('is not even looked at while it is young', async () => {
    engine.leak('a', { listed: { createdAt: clock.now() - 500_000 } });
    await sweep();
    expect(engine.calls).toEqual(['list']);
    clock.advance(100_000);
    await sweep();
    expect(engine.removals).toEqual(['a']);
  });

  it('does not keep the sweep from its end, however many there are', async () => {
    for (const id of alphabet(10)) engine.leak(id, { inspected: { state: 'running' } });
    leak('z');
    await sweep({ limits: { SWEEP_COUNT: 3 } });
    expect(engine.removals).toEqual(['z']);
  });

  it('one that somebody else is removing is left to them, and is no failure', async () => {
    engine.leak('a', { removal: 'conflict' });
    leak('b');
    expect(await sweep()).toMatchObject({ swept: 1, failed: 0 });
    expect(originalMessage).toEqual(['INFO: swept 1 leaked helper of older entrypoints, none left']);
  });
});

describe('a storage that is sick', () => {
  it('one that can not be removed is told with the engine’s words, and the others go', async () => {
    leak('a');
    engine.leak('b', { removal: 'unhealthy' });
    leak('c');
    expect(await sweep()).toMatchObject({ swept: 2, failed: 1, left: 1, end: 'all' });
    expect(engine.left).toEqual(['b']);
    expect(engine.removals).toEqual(['a', 'b', 'c']);
    expect(originalMessage).toEqual([
      'WARN: swept 2 leaked helpers of older entrypoints, 1 left, 1 could not be removed; the next start tries again ' +
        '(Driver overlay failed to remove root filesystem b)',
    ]);
  });

  it('is left in peace after a few failures in a row', async () => {
    for (const id of alphabet(6)) engine.leak(id, { removal: 'unhealthy' });
    leak('z');
    expect(await sweep()).toMatchObject({ swept: 0, failed: 3, left: 7, end: 'failures' });
    expect(engine.removals).toEqual(['a', 'b', 'c']);
    expect(originalMessage).toHaveLength(1);
  });

  it('failures that are not in a row count as tries, no more', async () => {
    for (const id of alphabet(8)) engine.leak(id, { removal: 'aceg'.includes(id) ? 'unhealthy' : 'works' });
    expect(await sweep({ limits: { SWEEP_FAILURES: 2, SWEEP_COUNT: 6 } })).toMatchObject({
      swept: 3,
      failed: 3,
      end: 'count',
    });
  });

  it('does not hide failures in a row behind containers that are let be', async () => {
    for (const id of alphabet(8)) {
      if ('bdf'.includes(id)) engine.leak(id, { inspected: { state: 'running' } });
      else engine.leak(id, { removal: 'unhealthy' });
    }
    await sweep();
    expect(engine.removals).toEqual(['a', 'c', 'e']);
  });

  it('the dead ones of the last start are tried last: they keep nobody from the others', async () => {
    for (const id of ['a', 'b', 'c'])
      engine.leak(id, { removal: 'unhealthy', listed: { state: 'dead' }, inspected: { state: 'dead' } });
    leak('d', 'e');
    expect(await sweep()).toMatchObject({ swept: 2, failed: 3 });
    expect(engine.removals).toEqual(['d', 'e', 'a', 'b', 'c']);
  });

  it('a dead one that an old engine lists and can not inspect is tried as well', async () => {
    engine.leak('a', { listed: { state: 'dead' }, inspected: undefined });
    engine.leak('b', { inspected: undefined });
    await sweep();
    expect(engine.removals).toEqual(['a']);
  });

  it('an engine that hangs at each removal holds a start for a bounded time', async () => {
    for (const id of alphabet(20)) engine.leak(id, { removal: 'hung' });
    const begun = clock.now();
    const result = await sweep({ limits: { SWEEP_FAILURES: 100 } });
    expect(result).toMatchObject({ failed: 2, left: 20, end: 'time' });
    expect(clock.now() - begun).toBeLessThan(
      defaultLimits.SWEEP_TOTAL + defaultLimits.REMOVE + defaultLimits.INSPECT,
    );
    expect(originalMessage[0]).toContain('remove container b: no answer within 60 s');
  });
});

describe('nothing that goes wrong here is worse than not having swept', () => {
  it('an engine that gives no list', async () => {
    engine.listFails = true;
    expect(await sweep()).toMatchObject({ found: 0, end: 'trouble' });
    expect(originalMessage).toEqual([
      'WARN: could not look for leaked helpers of older entrypoints; the next start tries again ' +
        '(list containers: no answer within 30 s)',
    ]);
  });

  it('an engine that goes away in the middle: what was swept is told', async () => {
    leak('a', 'b', 'c');
    let asked = 0;
    const mayGoOn = async (): Promise<boolean> => {
      asked += 1;
      return asked < 3 ? Promise.resolve(true) : Promise.reject(new Error('the socket is gone'));
    };
    expect(await sweep({ mayGoOn })).toMatchObject({ swept: 2, left: 1, end: 'trouble' });
    expect(originalMessage).toEqual([
      'WARN: swept 2 leaked helpers of older entrypoints, 1 left; the engine could not be asked any more, ' +
        'the next start goes on (the socket is gone)',
    ]);
  });

  it('ends behind the removal in hand when it is stopped', async () => {
    leak('a', 'b', 'c');
    engine.onCall = (call) => {
      if (call === 'remove b') abort.abort(new Error('SIGTERM'));
    };
    expect(await sweep()).toMatchObject({ swept: 2, left: 1, end: 'interrupted' });
    expect(originalMessage).toEqual([
      'INFO: swept 2 leaked helpers of older entrypoints, 1 left; it was stopped, the next start goes on',
    ]);
  });

  it('a stop that cuts the call in hand is no failure of the storage', async () => {
    leak('a', 'b');
    engine.onCall = (call) => {
      if (call !== 'remove b') return;
      abort.abort(new Error('SIGTERM'));
      throw new Error('SIGTERM');
    };
    expect(await sweep()).toMatchObject({ swept: 1, failed: 0, end: 'interrupted' });
    expect(originalMessage[0]).toMatch(/^INFO: /);
  });

  it('does not even begin when it was stopped before', async () => {
    abort.abort(new Error('the lock was lost'));
    await sweep();
    expect(engine.calls).toEqual([]);
  });

  it('gives way as soon as somebody else needs the engine', async () => {
    leak('a', 'b', 'c');
    const mayGoOn = async (): Promise<boolean> => Promise.resolve(engine.removals.length < 2);
    expect(await sweep({ mayGoOn })).toMatchObject({ swept: 2, left: 1, end: 'busy' });
    expect(originalMessage).toEqual([
      'INFO: swept 2 leaked helpers of older entrypoints, 1 left; a worker needs the engine, the next start goes on',
    ]);
  });
});
