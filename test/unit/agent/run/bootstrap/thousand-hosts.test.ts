import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../../../src/agent/report/outcome.ts';
import { defaultLimits } from '../../../../../src/support/limits/limits.ts';
import {
  healthyAnswer,
  refusedKeys,
  startSimulatedAgent,
  textAnswer,
  unreachable,
  type SimulatedAgent,
} from '../../../../support/simulation/simulated-agent.ts';
import { SimulatedTime } from '../../../../support/simulation/simulated-time.ts';

/** Measured with these seeds: 81, 69, 13 and 11 a second; without chance in the pauses it is all thousand. */
describe('a thousand hosts whose server goes away in one second and comes back', () => {
  const second = 1_000;
  const minute = 60 * second;

  it.each([
    ['1 s', second, 100, 20 * second],
    ['30 s', 30 * second, 90, minute],
    ['10 min', 10 * minute, 20, 6 * minute],
    ['1 h', 60 * minute, 20, 6 * minute],
  ])('after %s: at most so many call in the same second', async (_title, outage, most, allWithin) => {
    const time = new SimulatedTime();
    const backAt: number[] = [];
    for (let number = 0; number < 1_000; number++) {
      startSimulatedAgent({
        time,
        number,
        answer: () => {
          if (time.now < outage) return unreachable();
          backAt.push(time.now - outage);
          // Its agent runs from now on.
          return new Promise<never>(() => undefined);
        },
      });
    }
    await time.passUntil(outage + allWithin);
    const perSecond = new Map<number, number>();
    for (const at of backAt) {
      const bucket = Math.floor(at / second);
      perSecond.set(bucket, (perSecond.get(bucket) ?? 0) + 1);
    }
    const peak = Math.max(...perSecond.values());
    expect(backAt).toHaveLength(1_000);
    expect(peak).toBeLessThanOrEqual(most);
  });
});

describe('the pauses between two tries', () => {
  /** When a host asks for its keys, over a while, in seconds. */
  async function callsOf(
    serve: SimulatedAgent['answer'],
    until: number,
    ended?: Outcome[],
  ): Promise<number[]> {
    const time = new SimulatedTime();
    const at: number[] = [];
    startSimulatedAgent({
      time,
      number: 7,
      answer: (request) => {
        if (request.url.endsWith('configcontent')) at.push(time.now);
        return serve(request);
      },
      ...(ended === undefined ? {} : { ended }),
    });
    await time.passUntil(until);
    return at;
  }

  const gapsOf = (at: readonly number[]): number[] =>
    at.slice(1).map((each, index) => each - (at[index] ?? 0));

  it('grow to five minutes while the server is away', async () => {
    const gaps = gapsOf(await callsOf(unreachable, 3 * 3_600_000));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(defaultLimits.BOOTSTRAP_PAUSE_MAX);
    for (const gap of gaps.slice(8))
      expect(gap).toBeGreaterThanOrEqual(defaultLimits.BOOTSTRAP_PAUSE_MAX / 2);
    expect(new Set(gaps.slice(8)).size).toBe(gaps.length - 8);
    expect(gaps[0]).toBeLessThanOrEqual(20_000);
  });

  it('are long once the keys have been refused for half a minute, and the state says what to do once a turn', async () => {
    const ended: Outcome[] = [];
    const at = await callsOf(() => refusedKeys, 24 * 3_600_000, ended);
    // Two questions a turn: with and without the header.
    const turns = [...new Set(at)];
    const first = turns.findIndex((time) => time - (turns[0] ?? 0) >= defaultLimits.CREDENTIALS_APART);
    expect(turns[first]).toBeLessThan(
      defaultLimits.CREDENTIALS_APART + defaultLimits.BOOTSTRAP_JITTER + (turns[0] ?? 0),
    );
    for (const gap of gapsOf(turns.slice(first))) {
      expect(gap).toBeGreaterThanOrEqual(defaultLimits.CREDENTIALS_PAUSE / 2);
      expect(gap).toBeLessThanOrEqual(defaultLimits.CREDENTIALS_PAUSE);
    }
    expect(turns.length).toBeGreaterThan(40);
    expect(ended).toHaveLength(turns.length - first);
    for (const outcome of ended) {
      expect(outcome).toMatchObject({ state: 'failed', exitCode: 77, cause: 'keys-revoked' });
      expect(outcome.hint).toContain('register this host again');
    }
  });

  it.each([
    ['exits with 1', 6, 1],
    ['exits with 0', 6, 0],
    ['crashes after 3 s', 3_000, 139],
  ])('grow to five minutes while the bootstrap %s at once', async (_title, ms, status) => {
    const time = new SimulatedTime();
    const begun: number[] = [];
    startSimulatedAgent({
      time,
      number: 7,
      answer: healthyAnswer,
      run: async () => {
        begun.push(time.now);
        await time.sleep(ms);
        return { status, signal: null };
      },
    });
    await time.passUntil(3 * 3_600_000);
    const gaps = gapsOf(begun);
    expect(gaps[0]).toBeLessThanOrEqual(defaultLimits.BOOTSTRAP_PAUSE_MIN + ms);
    for (const gap of gaps.slice(8))
      expect(gap).toBeGreaterThanOrEqual(defaultLimits.BOOTSTRAP_PAUSE_MAX / 2);
  });

  it.each([
    ['the keys are refused', () => refusedKeys],
    ['the server is away', unreachable],
    ['a web page comes', () => textAnswer(200, '<html></html>')],
  ])('cost a connection seconds when for 10 s %s', async (_title, wrong) => {
    const time = new SimulatedTime();
    const begun: number[] = [];
    const ended: Outcome[] = [];
    const lostAt = 120_000;
    startSimulatedAgent({
      time,
      number: 3,
      ended,
      answer: (request) =>
        time.now >= lostAt && time.now < lostAt + 10_000 ? wrong() : healthyAnswer(request),
      run: async () => {
        begun.push(time.now);
        await time.sleep(lostAt);
        return { status: 0, signal: null };
      },
    });
    await time.passUntil(lostAt + 60_000);
    expect(begun).toHaveLength(2);
    expect((begun[1] ?? Infinity) - lostAt).toBeLessThan(30_000);
    expect(ended).toEqual([]);
  });
});
