import { describe, expect, it } from 'vitest';
import { skewOf } from '../../../src/doctor/probe-server.ts';
import { NotVisibleError, probe, type ProbeLimits } from '../../../src/doctor/probe.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { deadlineIn } from '../../../src/support/deadline.ts';
import { EngineUnavailableError, InterruptedError } from '../../../src/support/errors.ts';

function allowed(each: number, total: number, signal = new AbortController().signal): ProbeLimits {
  return { each, total: deadlineIn(total, systemClock), signal };
}

const never = async (): Promise<never> => new Promise(() => undefined);

describe('a probe', () => {
  it('a probe ends at its own deadline, even if what it waits for never settles', async () => {
    const seen = await probe('count the stars', allowed(20, 60_000), never);
    expect(seen).toEqual({
      known: false,
      why: 'count the stars: no answer within 20 ms',
      blind: false,
      unresponsive: true,
    });
  });

  it('ends at the deadline of all probes, and none begins after it', async () => {
    const tight = allowed(60_000, 20);
    expect(await probe('count', tight, never)).toMatchObject({ known: false });
    expect(await probe('count again', tight, never)).toMatchObject({
      why: expect.stringContaining('time for all probes is up') as string,
    });
  });

  it('has an error as its result, with what to do about it', async () => {
    const failing = async (): Promise<never> =>
      Promise.reject(new EngineUnavailableError('silence', { hint: 'restart it' }));
    expect(await probe('ask', allowed(9_000, 9_000), failing)).toEqual({
      known: false,
      why: 'silence',
      hint: 'restart it',
      blind: false,
    });
    const blind = async (): Promise<never> =>
      Promise.reject(new NotVisibleError('not from here', 'mount it'));
    expect(await probe('ask', allowed(9_000, 9_000), blind)).toEqual({
      known: false,
      why: 'not from here',
      hint: 'mount it',
      blind: true,
    });
  });

  it('ends when the signal is aborted', async () => {
    const controller = new AbortController();
    const looking = probe('ask', allowed(60_000, 60_000, controller.signal), never);
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
  ])('is known when the header %s', (_title, date, begun, ended, skew) => {
    expect(skewOf(date, begun, ended)).toBe(skew);
  });
});
