import { describe, expect, it } from 'vitest';
import { skewOf } from '../../../src/doctor/probe-server.ts';
import { BlindError, look, type Bounds } from '../../../src/doctor/probe.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { deadlineIn } from '../../../src/support/deadline.ts';
import { EngineUnavailableError, InterruptedError } from '../../../src/support/errors.ts';

function bounds(each: number, total: number, signal = new AbortController().signal): Bounds {
  return { each, total: deadlineIn(total, systemClock), signal };
}

const never = async (): Promise<never> => new Promise(() => undefined);

describe('a look', () => {
  it('ends at its own deadline, even if what it waits for never settles', async () => {
    const seen = await look('count the stars', bounds(20, 60_000), never);
    expect(seen).toEqual({
      known: false,
      why: 'count the stars: no answer within 20 ms',
      blind: false,
      silent: true,
    });
  });

  it('ends at the deadline of all looks, and none begins after it', async () => {
    const tight = bounds(60_000, 20);
    expect(await look('count', tight, never)).toMatchObject({ known: false });
    expect(await look('count again', tight, never)).toMatchObject({
      why: expect.stringContaining('time for all of it is up') as string,
    });
  });

  it('takes what went wrong for an answer, with what to do about it', async () => {
    const failing = async (): Promise<never> =>
      Promise.reject(new EngineUnavailableError('silence', { hint: 'restart it' }));
    expect(await look('ask', bounds(9_000, 9_000), failing)).toEqual({
      known: false,
      why: 'silence',
      hint: 'restart it',
      blind: false,
    });
    const blind = async (): Promise<never> => Promise.reject(new BlindError('not from here', 'mount it'));
    expect(await look('ask', bounds(9_000, 9_000), blind)).toEqual({
      known: false,
      why: 'not from here',
      hint: 'mount it',
      blind: true,
    });
  });

  it('ends with Ctrl-C', async () => {
    const controller = new AbortController();
    const looking = look('ask', bounds(60_000, 60_000, controller.signal), never);
    controller.abort(new InterruptedError('SIGINT'));
    await expect(looking).rejects.toThrow('stopped by SIGINT');
  });
});

describe("the server's clock, which has whole seconds", () => {
  it.each([
    ['the same', 12_000, 12_100, 12_300, 0],
    ['cut to the second before the question', 12_000, 12_900, 13_100, 0],
    ['cut to the second of the answer', 13_000, 12_900, 13_100, 0],
    ['a minute ahead', 73_000, 12_900, 13_100, 59_900],
    ['a minute behind', 12_000, 72_900, 73_000, -60_400],
  ])('%s', (_title, date, begun, ended, skew) => {
    expect(skewOf(date, begun, ended)).toBe(skew);
  });
});
