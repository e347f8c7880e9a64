import { beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.ts';
import { sweepLeaks, type Sweep, type SweepResult } from '../../../src/cleanup/sweep.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog, type Log } from '../../../src/support/log.ts';
import { VirtualClock } from '../fakes/simulated-host.ts';
import { LeakyEngine } from '../fakes/leaky-engine.ts';
import { names } from '../fakes/role-names.ts';

let clock: VirtualClock;
let engine: LeakyEngine;
/** What a person reads, with the level of each line. */
let lines: string[];
let abort: AbortController;

beforeEach(() => {
  clock = new VirtualClock();
  engine = new LeakyEngine(clock);
  lines = [];
  abort = new AbortController();
});

function leak(...ids: readonly string[]): void {
  for (const id of ids) engine.leak(id);
}

/** `a`, `b`, … in the order in which they leaked. */
function alphabet(count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => String.fromCharCode(97 + index));
}

async function sweep(parts: Omit<Partial<Sweep>, 'limits'> & { limits?: object } = {}): Promise<SweepResult> {
  const log: Log = {
    ...silentLog,
    info: (message) => lines.push(`INFO: ${message}`),
    warn: (message, fields) => lines.push(`WARN: ${message} (${String(fields?.['originalMessage'])})`),
  };
  return sweepLeaks({
    engine: engine as unknown as Engine,
    names,
    clock,
    log,
    signal: abort.signal,
    ...parts,
    limits: { ...defaultLimits, ...parts.limits },
  });
}

describe('a start on a host with leaked helpers', () => {
  it('removes them oldest first, each inspected right before, never by force, and reports in one line', async () => {
    leak('a', 'b', 'c');
    const result = await sweep();
    expect(engine.calls).toEqual([
      ...['list', 'inspect a', 'remove a'],
      ...['inspect b', 'remove b', 'inspect c', 'remove c'],
    ]);
    expect(engine.forced).toEqual([]);
    expect(result).toEqual({
      found: 3,
      removed: 3,
      failed: 0,
      left: 0,
      end: 'all',
      originalMessage: undefined,
    });
    expect(lines).toEqual(['INFO: removed 3 leaked helpers of the legacy entrypoint, none left']);
  });

  it('removes no more than its part, and the next start goes on', async () => {
    leak(...alphabet(7));
    await sweep({ limits: { SWEEP_COUNT: 5 } });
    expect(engine.left).toEqual(['f', 'g']);
    await sweep({ limits: { SWEEP_COUNT: 1 } });
    await sweep({ limits: { SWEEP_COUNT: 1 } });
    expect(engine.left).toEqual([]);
    expect(lines).toEqual([
      'INFO: removed 5 leaked helpers of the legacy entrypoint, 2 left; the next start goes on',
      'INFO: removed 1 leaked helper of the legacy entrypoint, 1 left; the next start goes on',
      'INFO: removed 1 leaked helper of the legacy entrypoint, none left',
    ]);
  });

  it('reports nothing if there are none, and asks for one list', async () => {
    await sweep();
    expect(engine.calls).toEqual(['list']);
    expect(lines).toEqual([]);
  });

  it('asks for nothing if the limit is 0', async () => {
    leak('a');
    await sweep({ limits: { SWEEP_COUNT: 0 } });
    expect(engine.calls).toEqual([]);
  });

  it('reports how many it found before it begins, and only if there are any', async () => {
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

describe('a container that only looked like a leaked helper', () => {
  it.each([
    ['runs meanwhile', { state: 'running' }],
    ['was given another name', { name: 'kept' }],
    ['turns out to be of another image', { image: 'debian', labels: {} }],
    ['turns out to have another command', { command: ['/run.sh inspect-host'] }],
    ['exited a moment ago', { finishedAt: Date.UTC(2026, 0, 1) }],
  ] as const)('stays if it %s, and the others are removed', async (_, inspected) => {
    leak('a');
    engine.leak('b', { inspected });
    leak('c');
    const result = await sweep();
    expect(engine.removals).toEqual(['a', 'c']);
    expect(result).toMatchObject({ removed: 2, failed: 0, left: 0, end: 'all' });
  });

  it('is not even inspected while it is young', async () => {
    engine.leak('a', { listed: { createdAt: clock.now() - 500_000 } });
    await sweep();
    expect(engine.calls).toEqual(['list']);
    clock.advance(100_000);
    await sweep();
    expect(engine.removals).toEqual(['a']);
  });

  it('does not count as one of those that a sweep may remove', async () => {
    for (const id of alphabet(10)) engine.leak(id, { inspected: { state: 'running' } });
    leak('z');
    await sweep({ limits: { SWEEP_COUNT: 3 } });
    expect(engine.removals).toEqual(['z']);
  });

  it('is left to somebody else who is removing it, and is no failure', async () => {
    engine.leak('a', { removal: 'conflict' });
    leak('b');
    expect(await sweep()).toMatchObject({ removed: 1, failed: 0 });
    expect(lines).toEqual(['INFO: removed 1 leaked helper of the legacy entrypoint, none left']);
  });
});

describe('a sweep on a storage with errors', () => {
  it('reports what it cannot remove with the message of the engine, and removes the others', async () => {
    leak('a');
    engine.leak('b', { removal: 'unhealthy' });
    leak('c');
    expect(await sweep()).toMatchObject({ removed: 2, failed: 1, left: 1, end: 'all' });
    expect(engine.left).toEqual(['b']);
    expect(engine.removals).toEqual(['a', 'b', 'c']);
    expect(lines).toEqual([
      'WARN: removed 2 leaked helpers of the legacy entrypoint, 1 left, 1 could not be removed; the next start tries again ' +
        '(Driver overlay failed to remove root filesystem b)',
    ]);
  });

  it('stops after a few failures in a row', async () => {
    for (const id of alphabet(6)) engine.leak(id, { removal: 'unhealthy' });
    leak('z');
    expect(await sweep()).toMatchObject({ removed: 0, failed: 3, left: 7, end: 'failures' });
    expect(engine.removals).toEqual(['a', 'b', 'c']);
    expect(lines).toHaveLength(1);
  });

  it('counts failures that are not in a row as tries only', async () => {
    for (const id of alphabet(8)) engine.leak(id, { removal: 'aceg'.includes(id) ? 'unhealthy' : 'works' });
    expect(await sweep({ limits: { SWEEP_FAILURES: 2, SWEEP_COUNT: 6 } })).toMatchObject({
      removed: 3,
      failed: 3,
      end: 'count',
    });
  });

  it('does not hide failures in a row behind containers that are kept', async () => {
    for (const id of alphabet(8)) {
      if ('bdf'.includes(id)) engine.leak(id, { inspected: { state: 'running' } });
      else engine.leak(id, { removal: 'unhealthy' });
    }
    await sweep();
    expect(engine.removals).toEqual(['a', 'c', 'e']);
  });

  it('tries the dead ones of the last start last, so that the others are removed first', async () => {
    for (const id of ['a', 'b', 'c'])
      engine.leak(id, { removal: 'unhealthy', listed: { state: 'dead' }, inspected: { state: 'dead' } });
    leak('d', 'e');
    expect(await sweep()).toMatchObject({ removed: 2, failed: 3 });
    expect(engine.removals).toEqual(['d', 'e', 'a', 'b', 'c']);
  });

  it('tries a dead one as well that an old engine lists and cannot inspect', async () => {
    engine.leak('a', { listed: { state: 'dead' }, inspected: undefined });
    engine.leak('b', { inspected: undefined });
    await sweep();
    expect(engine.removals).toEqual(['a']);
  });

  it('takes a limited time on an engine that hangs at each removal', async () => {
    for (const id of alphabet(20)) engine.leak(id, { removal: 'hung' });
    const begun = clock.now();
    const result = await sweep({ limits: { SWEEP_FAILURES: 100 } });
    expect(result).toMatchObject({ failed: 2, left: 20, end: 'time' });
    expect(clock.now() - begun).toBeLessThan(
      defaultLimits.SWEEP_TOTAL + defaultLimits.REMOVE + defaultLimits.INSPECT,
    );
    expect(lines[0]).toContain('remove container b: no answer within 60 s');
  });
});

describe('a sweep on a devicemapper pool', () => {
  const pool = (used: string): void => {
    engine.storageDriver = 'devicemapper';
    engine.driverStatus = [
      ['Metadata Space Used', used],
      ['Metadata Space Total', '8.389 MB'],
    ];
  };

  it('removes nothing if its metadata is full, and says so in one line', async () => {
    leak('a', 'b');
    pool('8.389 MB');
    expect(await sweep()).toMatchObject({ removed: 0, failed: 0, left: 2, end: 'storage' });
    expect(engine.calls).toEqual(['list']);
    expect(lines).toEqual([
      'WARN: removed 0 leaked helpers of the legacy entrypoint, 2 left; the storage cannot take a change: nothing more is ' +
        'removed until there is room (the metadata of the devicemapper pool is full: the pool is read-only)',
    ]);
  });

  it('removes them while there is room: leaked helpers are what fills it', async () => {
    leak('a', 'b');
    pool('7.7 MB');
    expect(await sweep()).toMatchObject({ removed: 2, end: 'all' });
  });

  it('stops at the first removal that the kernel refuses: each one leaves a dead container', async () => {
    for (const id of alphabet(6)) engine.leak(id, { removal: 'pool-full' });
    pool('7.7 MB');
    expect(await sweep()).toMatchObject({ removed: 0, failed: 1, left: 6, end: 'storage' });
    expect(engine.removals).toEqual(['a']);
  });
});

describe('a sweep never throws', () => {
  it('if the engine gives no list', async () => {
    engine.listFails = true;
    expect(await sweep()).toMatchObject({ found: 0, end: 'error' });
    expect(lines).toEqual([
      'WARN: could not list the leaked helpers of the legacy entrypoint; the next start tries again ' +
        '(list containers: no answer within 30 s)',
    ]);
  });

  it('if the engine goes away in between: it reports what it has removed', async () => {
    leak('a', 'b', 'c');
    let asked = 0;
    const mayGoOn = async (): Promise<boolean> => {
      asked += 1;
      return asked < 3 ? Promise.resolve(true) : Promise.reject(new Error('the socket is gone'));
    };
    expect(await sweep({ mayGoOn })).toMatchObject({ removed: 2, left: 1, end: 'error' });
    expect(lines).toEqual([
      'WARN: removed 2 leaked helpers of the legacy entrypoint, 1 left; the sweep could not continue, ' +
        'the next start goes on (the socket is gone)',
    ]);
  });

  it('if it is interrupted: it ends after the removal in progress', async () => {
    leak('a', 'b', 'c');
    engine.onCall = (call) => {
      if (call === 'remove b') abort.abort(new Error('SIGTERM'));
    };
    expect(await sweep()).toMatchObject({ removed: 2, left: 1, end: 'interrupted' });
    expect(lines).toEqual([
      'INFO: removed 2 leaked helpers of the legacy entrypoint, 1 left; the sweep was interrupted, the next start goes on',
    ]);
  });

  it('if a signal ends the call in progress: that is no failure', async () => {
    leak('a', 'b');
    engine.onCall = (call) => {
      if (call !== 'remove b') return;
      abort.abort(new Error('SIGTERM'));
      throw new Error('SIGTERM');
    };
    expect(await sweep()).toMatchObject({ removed: 1, failed: 0, end: 'interrupted' });
    expect(lines[0]).toMatch(/^INFO: /);
  });

  it('if it was interrupted before: it does not begin', async () => {
    abort.abort(new Error('the lock was lost'));
    await sweep();
    expect(engine.calls).toEqual([]);
  });

  it('if somebody else needs the engine: it ends at once', async () => {
    leak('a', 'b', 'c');
    const mayGoOn = async (): Promise<boolean> => Promise.resolve(engine.removals.length < 2);
    expect(await sweep({ mayGoOn })).toMatchObject({ removed: 2, left: 1, end: 'busy' });
    expect(lines).toEqual([
      'INFO: removed 2 leaked helpers of the legacy entrypoint, 1 left; a worker needs the engine, the next start goes on',
    ]);
  });
});
