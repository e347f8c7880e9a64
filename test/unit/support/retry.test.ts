import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/support/clock.ts';
import { silentLog, type Log } from '../../../src/support/log.ts';
import { doubling, jittered, retry, type RetryPolicy } from '../../../src/support/retry.ts';

/** A clock whose sleeps take no time and are written down. */
function fakeClock(): Clock & { readonly sleeps: number[] } {
  let now = 0;
  const sleeps: number[] = [];
  return {
    sleeps,
    now: () => now,
    elapsed: () => now,
    random: () => 0.5,
    sleep: (ms, signal) => {
      signal?.throwIfAborted();
      sleeps.push(ms);
      now += ms;
      return Promise.resolve();
    },
  };
}

function policy(over: Partial<RetryPolicy> = {}): RetryPolicy {
  return {
    what: 'remove container x',
    tries: 5,
    pause: doubling(1_000, 30_000),
    worthRetrying: () => true,
    clock: fakeClock(),
    log: silentLog,
    ...over,
  };
}

const failing = (): { attempt: () => Promise<never>; count: () => number } => {
  let tries = 0;
  return {
    attempt: () => {
      tries += 1;
      return Promise.reject(new Error(`busy ${tries}`));
    },
    count: () => tries,
  };
};

describe('retry', () => {
  it('tries so many times and no more, and throws what was thrown last', async () => {
    const { attempt, count } = failing();
    const clock = fakeClock();
    await expect(retry(policy({ clock }), attempt)).rejects.toThrow('busy 5');
    expect(count()).toBe(5);
    expect(clock.sleeps).toEqual([1_000, 2_000, 4_000, 8_000]);
  });

  it.each([0, 1])('tries once when told %i', async (tries) => {
    const { attempt, count } = failing();
    await expect(retry(policy({ tries }), attempt)).rejects.toThrow('busy 1');
    expect(count()).toBe(1);
  });

  it('ends as soon as one works', async () => {
    await expect(
      retry(policy(), (n) => (n < 3 ? Promise.reject(new Error('busy')) : Promise.resolve(n))),
    ).resolves.toBe(3);
  });

  it('does not repeat what is not worth it', async () => {
    const { attempt, count } = failing();
    const clock = fakeClock();
    await expect(retry(policy({ worthRetrying: () => false, clock }), attempt)).rejects.toThrow('busy 1');
    expect(count()).toBe(1);
    expect(clock.sleeps).toEqual([]);
  });

  it('does not wait for a try that may not begin any more', async () => {
    const { attempt, count } = failing();
    const clock = fakeClock();
    await expect(retry(policy({ tries: 100, total: 10_000, clock }), attempt)).rejects.toThrow('busy 4');
    expect(count()).toBe(4);
    expect(clock.sleeps).toEqual([1_000, 2_000, 4_000]);
  });

  it('stops when told to', async () => {
    const stop = new AbortController();
    const attempt = retry(policy({ signal: stop.signal }), () => {
      stop.abort(new Error('stopped'));
      return Promise.reject(new Error('busy'));
    });
    await expect(attempt).rejects.toThrow('stopped');
  });

  it('says each failed try, and when the next one comes', async () => {
    const originalMessage: string[] = [];
    const log: Log = {
      ...silentLog,
      warn: (message, fields) => void originalMessage.push(`${message} ${JSON.stringify(fields)}`),
    };
    await retry(policy({ log, tries: 2 }), failing().attempt).catch(() => undefined);
    expect(originalMessage).toEqual([
      'remove container x: try 1 of 2 failed {"error":"busy 1","next":"in 1 s"}',
    ]);
  });
});

describe('pauses', () => {
  it('double up to the longest', () => {
    expect([1, 2, 3, 6, 500].map(doubling(1_000, 30_000))).toEqual([1_000, 2_000, 4_000, 30_000, 30_000]);
  });

  it('are a random part of that with jitter', () => {
    expect([1, 2].map(jittered(1_000, 30_000, () => 0.5))).toEqual([500, 1_000]);
  });
});
