import { describe, expect, it } from 'vitest';
import { keepBootstrapRunning, type BootstrapLoop } from '../../../src/agent/bootstrap-loop.ts';
import { selectProfile } from '../../../src/agent/profile.ts';
import type { Outcome } from '../../../src/agent/outcome.ts';
import type { HttpRequest, HttpResponse } from '../../../src/control-plane/client.ts';
import type { Clock } from '../../../src/support/clock.ts';
import { readConfiguration } from '../../../src/support/configuration.ts';
import { ServerUnavailableError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';

/** Time that passes only when everybody sleeps. */
class SimulatedTime {
  now = 0;
  private readonly sleepers: { at: number; wake: () => void }[] = [];

  async sleep(ms: number): Promise<void> {
    await new Promise<void>((wake) => this.sleepers.push({ at: this.now + ms, wake }));
  }

  /** Wakes one second's sleepers after the other, until a point in time. */
  async passUntil(end: number): Promise<void> {
    for (;;) {
      await new Promise((resolve) => setImmediate(resolve));
      const next = Math.min(...this.sleepers.map(({ at }) => at));
      if (next > end) break;
      this.now = next;
      const due = this.sleepers.filter(({ at }) => at === next);
      for (const sleeper of due) {
        this.sleepers.splice(this.sleepers.indexOf(sleeper), 1);
        sleeper.wake();
      }
    }
    this.now = end;
  }

  /** A clock for one host, with chance of its own. */
  clockOf(host: number): Clock {
    const random = seeded(host);
    return { now: () => this.now, elapsed: () => this.now, sleep: async (ms) => this.sleep(ms), random };
  }
}

/** mulberry32: the same numbers for the same seed. */
function seeded(seed: number): () => number {
  let state = seed * 0x9e37_79b9;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const answer = (status: number, body: unknown): HttpResponse => ({
  status,
  headers: {},
  text: JSON.stringify(body),
  url: 'http://server/v1',
});

interface Host {
  readonly time: SimulatedTime;
  readonly number: number;
  readonly answer: (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;
  readonly ended?: Outcome[];
}

/** An agent whose run loop is real, and whose server and time are not. */
function startHost({ time, number, answer: serve, ended = [] }: Host): void {
  const configuration = readConfiguration(
    { CATTLE_URL: 'http://server/v1', CATTLE_ACCESS_KEY: 'AGENTKEY', CATTLE_SECRET_KEY: 'agent-secret-key' },
    'host',
  );
  const clock = time.clockOf(number);
  const { signal } = new AbortController();
  const basis = { configuration, clock, log: silentLog, secrets: createSecrets(), signal };
  const loop: BootstrapLoop = {
    ...basis,
    profile: selectProfile('rancher-1.2', {}),
    reporter: {
      passing: () => undefined,
      working: () => Promise.resolve(),
      waiting: () => Promise.resolve(),
      ended: (outcome) => Promise.resolve(void ended.push(outcome)),
      readBefore: () => Promise.resolve(undefined),
    },
    onRequiredImage: () => undefined,
    concludeWork: () => Promise.resolve(),
    open: () =>
      Promise.resolve({
        ...basis,
        limits: configuration.limits,
        client: { request: (request) => Promise.resolve(serve(request)) },
      }),
  };
  void keepBootstrapRunning(loop);
}

const refused = (): never => {
  throw new ServerUnavailableError('GET http://server/v1: connection refused');
};

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
      startHost({
        time,
        number,
        answer: () => {
          if (time.now < outage) return refused();
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
  async function callsOf(serve: Host['answer'], until: number, ended?: Outcome[]): Promise<number[]> {
    const time = new SimulatedTime();
    const at: number[] = [];
    startHost({
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
    const gaps = gapsOf(await callsOf(refused, 3 * 3_600_000));
    expect(Math.max(...gaps)).toBeLessThanOrEqual(defaultLimits.BOOTSTRAP_PAUSE_MAX);
    for (const gap of gaps.slice(8))
      expect(gap).toBeGreaterThanOrEqual(defaultLimits.BOOTSTRAP_PAUSE_MAX / 2);
    expect(new Set(gaps.slice(8)).size).toBe(gaps.length - 8);
    expect(gaps[0]).toBeLessThanOrEqual(20_000);
  });

  it('are long while the keys are dead, and the state says what to do once a turn', async () => {
    const ended: Outcome[] = [];
    const dead = answer(401, { type: 'error', status: 401, code: 'Unauthorized', message: 'Unauthorized' });
    const at = await callsOf(() => dead, 24 * 3_600_000, ended);
    // Two questions a turn: with and without the header.
    const turns = [...new Set(at)];
    for (const gap of gapsOf(turns)) {
      expect(gap).toBeGreaterThanOrEqual(defaultLimits.CREDENTIALS_PAUSE / 2);
      expect(gap).toBeLessThanOrEqual(defaultLimits.CREDENTIALS_PAUSE);
    }
    expect(turns.length).toBeGreaterThan(40);
    expect(ended).toHaveLength(turns.length);
    for (const outcome of ended) {
      expect(outcome).toMatchObject({ state: 'failed', exitCode: 77, cause: 'keys-revoked' });
      expect(outcome.hint).toContain('register this host again');
    }
  });
});
