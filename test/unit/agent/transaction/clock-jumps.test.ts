import { describe, expect, it } from 'vitest';
import { Ages } from '../../../../src/agent/transaction/ages.ts';
import { restartAgent } from '../../../../src/cleanup/agent-restarter.ts';
import { keepHouse } from '../../../../src/agent/run/housekeeping.ts';
import type { Observation, Observed } from '../../../../src/agent/transaction/observe.ts';
import { waitForPromotion } from '../../../../src/agent/run/standby.ts';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { Upgrader } from '../../../../src/agent/run/upgrader.ts';
import { followRunningWorker } from '../../../../src/agent/worker/client.ts';
import { waitForServer } from '../../../../src/control-plane/registration/wait.ts';
import type { ContainerDetails, Engine } from '../../../../src/engine/engine.ts';
import { featuresOf } from '../../../../src/engine/features.ts';
import {
  nextAttemptAt,
  flappingEndsAt,
  recordFailure,
  noAttempts,
} from '../../../../src/host/files/attempts.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { steadyTime, type Clock } from '../../../../src/support/clock.ts';
import { ServerUnavailableError } from '../../../../src/support/errors.ts';
import { defaultLimits as limits } from '../../../../src/support/limits/limits.ts';
import { silentLog as log } from '../../../../src/support/log.ts';
import { names } from '../../fakes/role-names.ts';
const hour = 3_600_000;
const begin = Date.UTC(2026, 0, 1);
const forEver = new AbortController().signal;
/** What shows that a container is managed. */
const managed = { privileged: true, binds: ['/var/run/docker.sock:/var/run/docker.sock'] };

/** A clock whose wall time is set by so many ms after `jumpsAt` ms, while the monotonic one goes on. */
class SetClock implements Clock {
  readonly #jump: number;
  readonly #jumpsAt: number;
  #elapsed = 5_000.25;

  constructor(jump: number, jumpsAt = 500) {
    this.#jump = jump;
    this.#jumpsAt = 5_000.25 + jumpsAt;
  }

  elapsed(): number {
    return this.#elapsed;
  }

  now(): number {
    return begin + Math.floor(this.#elapsed) + (this.#elapsed >= this.#jumpsAt ? this.#jump : 0);
  }

  random(): number {
    return 0;
  }

  pass(ms: number): void {
    this.#elapsed += ms;
  }

  /** A turn of the event loop each, for those that wait beside one another. */
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
    this.pass(ms);
  }
}

async function timeOf(clock: Clock, work: Promise<unknown>): Promise<number> {
  const started = clock.elapsed();
  await work.catch(() => undefined);
  return clock.elapsed() - started;
}

describe.each([
  ['set back by two hours', -2 * hour],
  ['set forward by two hours', 2 * hour],
])('a clock that is %s', (_, jump) => {
  it('a changed clock lets an agent on standby wait as long as without the change', async () => {
    const clock = new SetClock(jump);
    const settled: number[] = [];
    const agent = { id: 'agent', name: names.agent, state: 'running', labels: {}, image: 'rancher/agent' };
    const evidence = { privileged: true, binds: ['/var/run/docker.sock:/var/run/docker.sock'] };
    const engine = {
      inspectContainer: async (id: string) =>
        Promise.resolve(id === 'agent' ? { ...agent, ...evidence } : { name: names.next }),
      listContainers: async () => Promise.resolve([agent]),
      followRenames: async () => Promise.reject(new Error('an engine that tells nothing')),
    } as unknown as Engine;
    const own = { id: 'own', name: names.next } as ContainerDetails;
    const reconcile = async (): Promise<void> => Promise.resolve(void settled.push(clock.elapsed()));
    const waited = await timeOf(
      clock,
      waitForPromotion({ engine, names, limits, clock, log, signal: forEver, own, reconcile }),
    );
    expect(waited).toBeGreaterThanOrEqual(limits.WORKER_TOTAL);
    expect(waited).toBeLessThanOrEqual(limits.WORKER_TOTAL + limits.ROLE_POLL);
    const gaps = settled.slice(1).map((at, index) => at - (settled[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(limits.STANDBY_ALONE);
    expect(Math.max(...gaps)).toBeLessThanOrEqual(limits.STANDBY_ALONE + limits.ROLE_POLL);
  });

  it('a changed clock lets a caller follow a worker for its whole time and no longer', async () => {
    const clock = new SetClock(jump);
    const never = new Promise<never>(() => undefined);
    const engine = {
      features: featuresOf('1.41'),
      inspectContainer: async (name: string) =>
        Promise.resolve({ ...managed, id: 'w', name, state: 'running', labels: { [labels.role]: 'worker' } }),
      awaitExit: async () => Promise.resolve({ exit: never }),
      followLog: async () => never,
    } as unknown as Engine;
    const call = {
      engine,
      names,
      limits,
      clock,
      log,
      stateVolume: 'v',
      write: () => undefined,
      signal: forEver,
    };
    const waited = await timeOf(clock, followRunningWorker(call));
    expect(waited).toBeGreaterThanOrEqual(limits.FOLLOW_TOTAL);
    expect(waited).toBeLessThanOrEqual(limits.FOLLOW_TOTAL + limits.FOLLOW_POLL + limits.WORKER_GONE_PAUSE);
  });

  it('a changed clock lets a command wait for a server as long as without the change', async () => {
    const waits = async (clock: Clock): Promise<number> => {
      const client = {
        request: async () => Promise.reject(new ServerUnavailableError('connection refused')),
      };
      const connection = { limits, clock, log, signal: forEver, client } as unknown as Parameters<
        typeof waitForServer
      >[0];
      return timeOf(clock, waitForServer(connection, { url: 'http://server:8080/v1', hasToken: false }));
    };
    expect(await waits(new SetClock(jump))).toBe(await waits(new SetClock(0)));
    expect(await waits(new SetClock(jump))).toBeLessThanOrEqual(limits.SERVER_TOTAL + limits.SERVER_PAUSE);
  });

  it('a changed clock lets the agent restarter wait for a clean-up as long as without the change', async () => {
    const clock = new SetClock(jump);
    let startedAt = 0;
    const engine = {
      inspectContainer: async (id: string) => Promise.resolve({ id, name: names.agent, state: 'running' }),
      startContainer: async () => Promise.resolve(void (startedAt = clock.elapsed())),
    } as unknown as Engine;
    const ids = { agent: 'a', cleanup: 'c', own: undefined };
    const started = clock.elapsed();
    await restartAgent({ engine, names, limits, clock, log }, ids, forEver);
    expect(startedAt - started).toBeGreaterThanOrEqual(limits.RESTARTER_TOTAL);
    expect(startedAt - started).toBeLessThanOrEqual(limits.RESTARTER_TOTAL + limits.RESTARTER_POLL);
  });

  it.each([
    ['after a failure', async () => Promise.resolve({ do: 'upgrade', targetImage: 'b' } as const), undefined],
    [
      'while servers require different images',
      async () => Promise.resolve({ do: 'wait', until: begin + 10_000 + hour } as const),
      hour,
    ],
  ])(
    'a changed clock lets the agent pause before it upgrades again as long as without the change: %s',
    async (__, decide, least) => {
      // The clock is set while the attempt is under way, and right behind the decision.
      const pauses: number[] = [];
      const stop = new AbortController();
      const clock = new SetClock(jump, 5_000);
      const sleeps = async (ms: number): Promise<void> => {
        pauses.push(ms);
        stop.abort(new Error('seen enough'));
        return Promise.reject(stop.signal.reason as Error);
      };
      const upgrader = new Upgrader({
        decide,
        upgrade: async () => {
          await clock.sleep(60_000);
          return 73;
        },
        ask: async () => Promise.resolve(undefined),
        limits,
        clock: {
          now: () => clock.now(),
          elapsed: () => clock.elapsed(),
          random: () => 0,
          sleep: sleeps,
        },
        log,
        signal: stop.signal,
      });
      upgrader.require({ kind: 'image', image: 'b' });
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(pauses).toHaveLength(1);
      const [pause = 0] = pauses;
      expect(pause).toBeGreaterThanOrEqual(least ?? limits.ATTEMPT_PAUSE_MIN);
      expect(pause).toBeLessThanOrEqual((least ?? limits.ATTEMPT_PAUSE_MIN) + 10_000);
    },
  );

  it('a changed clock never makes a new worker look forgotten, nor keeps a forgotten one', async () => {
    const clock = new SetClock(jump, 30_000);
    const createdAt = begin;
    const stop = new AbortController();
    let removedAt: number | undefined;
    const worker = {
      id: 'w',
      name: names.worker,
      state: 'created',
      createdAt,
      labels: { [labels.role]: 'worker' },
    };
    const started = clock.elapsed();
    const engine = {
      inspectContainer: async () =>
        Promise.resolve({
          ...{ ...worker, image: 'rancher/agent:x', command: [], environment: {} },
          ...{ privileged: true, binds: ['/var/run/docker.sock:/var/run/docker.sock'] },
        }),
      removeContainer: async () => {
        removedAt = clock.elapsed() - started;
        stop.abort(new Error('done'));
        return Promise.resolve();
      },
    } as unknown as Engine;
    const leftovers = {
      ...{ engine, names, workers: [names.worker], limits, clock, log, paths: pathsBelow('/nowhere') },
      ...{ signal: stop.signal, followWorker: async () => Promise.resolve(false) },
      reconcile: async () => Promise.resolve(),
    };
    await keepHouse(leftovers).catch(() => undefined);
    expect(removedAt).toBeGreaterThanOrEqual(limits.WORKER_UNSTARTED);
    expect(removedAt).toBeLessThanOrEqual(limits.WORKER_UNSTARTED + 3 * limits.HOUSEKEEPING);
  });

  it('a changed clock makes no agent older or younger once it was seen', () => {
    const clock = new SetClock(jump, 1_000);
    const ages = new Ages(clock);
    const look = (startedAt: readonly (number | undefined)[]): readonly (number | undefined)[] => {
      const [agent, next] = startedAt.map((at, index) => ({ id: String(index), startedAt: at }) as Observed);
      const now = clock.now();
      const seen: Observation = { agent, legacy: [], next, nexts: [next], previous: [undefined], now };
      const corrected = ages.correct(seen);
      return [corrected.agent, corrected.next].map((each) =>
        each?.startedAt === undefined ? undefined : Math.round(now - each.startedAt),
      );
    };
    const old = clock.now() - 600_000;
    expect(look([old, undefined])).toEqual([600_000, undefined]);
    const young = clock.now();
    clock.pass(1_500);
    expect(look([old, young])).toEqual([601_500, jump < 0 ? 0 : 1_500]);
    clock.pass(4_000);
    expect(look([old, young])).toEqual([605_500, jump < 0 ? 4_000 : 5_500]);
  });

  it('a changed clock keeps the times that a process compares as far apart as they were', () => {
    const clock = new SetClock(jump, 1_000);
    const time = steadyTime(clock);
    const first = time();
    clock.pass(10_000);
    expect(time() - first).toBe(10_000);
  });

  it('a changed clock never delays the next attempt beyond its longest pause', () => {
    let attempts = noAttempts;
    for (let failures = 0; failures < 30; failures += 1)
      attempts = recordFailure(attempts, 'b', 'cannot-change', begin, limits);
    const now = begin + jump;
    const next = nextAttemptAt(attempts.targets[0], limits, now);
    expect((next ?? now) - now).toBeLessThanOrEqual(limits.ATTEMPT_PAUSE_MAX);
    const history = Array.from({ length: 9 }, (__, index) => ({
      image: index % 2 === 0 ? 'a' : 'b',
      at: begin,
    }));
    const until = flappingEndsAt(history, 'b', limits, now);
    expect((until ?? now) - now).toBeLessThanOrEqual(limits.FLAPPING_WINDOW);
  });
});
