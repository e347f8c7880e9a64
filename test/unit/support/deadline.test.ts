import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { DeadlineError, deadlineIn, formatDuration, withDeadline } from '../../../src/support/deadline.ts';

const never = (): Promise<never> => new Promise(() => undefined);

describe('withDeadline', () => {
  it('returns what the work returns', async () => {
    await expect(withDeadline('work', 1_000, () => Promise.resolve(7))).resolves.toBe(7);
    await expect(withDeadline('work', 1_000, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  });

  // Engine-notes: a connection that drops after the headers leaves a promise that never settles.
  it('ends a wait whose promise never settles, and tells the work', async () => {
    let told: unknown;
    const wait = withDeadline('inspect container rancher-agent', 20, (signal) => {
      signal.addEventListener('abort', () => {
        told = signal.reason;
      });
      return never();
    });
    await expect(wait).rejects.toThrow('inspect container rancher-agent: no answer within 20 ms');
    await expect(wait).rejects.toBeInstanceOf(DeadlineError);
    expect(told).toBeInstanceOf(DeadlineError);
  });

  it('ends with the reason of the outer signal, also one that is aborted already', async () => {
    const stop = new AbortController();
    const wait = withDeadline('work', 60_000, never, stop.signal);
    stop.abort(new Error('stopped'));
    await expect(wait).rejects.toThrow('stopped');
    let began = false;
    const late = withDeadline('work', 60_000, () => ((began = true), never()), stop.signal);
    await expect(late).rejects.toThrow('stopped');
    expect(began).toBe(false);
  });

  it('leaves whole milliseconds, which timers of every kind take, and none too few', () => {
    let now = 1_000.25;
    const deadline = deadlineIn(500, { elapsed: () => now });
    now += 0.09;
    expect(deadline.left()).toBe(500);
    expect(() => AbortSignal.timeout(deadline.left())).not.toThrow();
    now = 1_500.2;
    expect(deadline.left()).toBe(1);
    now = 1_500.25;
    expect(deadline.left()).toBe(0);
  });

  it('does not abort the work after it has ended', async () => {
    let given: AbortSignal | undefined;
    const stop = new AbortController();
    await withDeadline('work', 10, (signal) => Promise.resolve((given = signal)), stop.signal);
    stop.abort(new Error('stopped'));
    await delay(30);
    expect(given?.aborted).toBe(false);
  });
});

describe('deadlineIn', () => {
  it('never has less than nothing left', () => {
    let now = 1_000;
    const deadline = deadlineIn(500, { elapsed: () => now });
    expect(deadline.left()).toBe(500);
    now = 9_000;
    expect(deadline.left()).toBe(0);
  });
});

describe('formatDuration', () => {
  it.each([
    [20, '20 ms'],
    [1_500, '1.5 s'],
    [90_000, '90 s'],
    [900_000, '15 min'],
    [9_000_000, '2.5 h'],
  ])('%i ms is %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });
});
