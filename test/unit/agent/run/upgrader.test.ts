import { describe, expect, it } from 'vitest';
import { Upgrader } from '../../../../src/agent/run/upgrader.ts';
import type { UpgradeDecision } from '../../../../src/agent/run/upgrade-decision.ts';
import type { RequiredImage } from '../../../../src/control-plane/required-image.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';

const own = 'rancher/agent:v1';
const bad = 'rancher/agent:bad';
const good = 'rancher/agent:good';
const minute = 60_000;

const requiring = (image: string): RequiredImage => ({ kind: 'image', image });

/** An active agent, created from `own`, whose pauses end when the test says so. */
function activeAgent() {
  let now = 0;
  const stop = new AbortController();
  const pauses: { readonly ms: number; readonly end: () => void }[] = [];
  const upgrades: string[] = [];
  const asked: number[] = [];
  const world = {
    /** What the server says when asked between bootstraps; undefined: it can't be reached. */
    answer: undefined as RequiredImage | undefined,
    /** Exit status of a worker, or what is thrown in its place. */
    outcome: 73 as number | Error,
    decision: undefined as UpgradeDecision | undefined,
  };
  const upgrader = new Upgrader({
    decide: (required) => {
      const image = required.kind === 'image' ? required.image : own;
      return Promise.resolve(
        world.decision ?? (image === own ? { do: 'nothing' } : { do: 'upgrade', targetImage: image }),
      );
    },
    upgrade: (image) => {
      upgrades.push(image);
      return world.outcome instanceof Error ? Promise.reject(world.outcome) : Promise.resolve(world.outcome);
    },
    ask: () => {
      asked.push(now);
      return world.answer === undefined
        ? Promise.reject(new Error('connection refused'))
        : Promise.resolve(world.answer);
    },
    limits: defaultLimits,
    clock: {
      now: () => now,
      elapsed: () => now,
      random: () => 0,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
          const end = (): void => {
            now += ms;
            resolve();
          };
          pauses.push({ ms, end });
        }),
    },
    log: silentLog,
    signal: stop.signal,
  });
  const settled = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    world,
    upgrades,
    asked,
    pauses: () => pauses.map(({ ms }) => ms),
    stop,
    async told(image: string): Promise<void> {
      upgrader.require(requiring(image));
      await settled();
    },
    async pauseOver(): Promise<void> {
      pauses.at(-1)?.end();
      await settled();
    },
  };
}

describe('an upgrade that the server requires and that does not succeed', () => {
  it('is tried again without a new bootstrap, with pauses that double up to an hour', async () => {
    const agent = activeAgent();
    agent.world.answer = requiring(bad);
    await agent.told(bad);
    for (let count = 0; count < 9; count += 1) await agent.pauseOver();
    expect(agent.upgrades).toEqual(Array.from({ length: 10 }, () => bad));
    expect(agent.pauses().map((ms) => ms / minute)).toEqual([0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
    expect(agent.asked).toHaveLength(9);
  });

  it('is given up when the server no longer requires it, and replaced by what it requires then', async () => {
    const agent = activeAgent();
    agent.world.answer = requiring(good);
    await agent.told(bad);
    await agent.pauseOver();
    expect(agent.upgrades).toEqual([bad, good]);
    agent.world.answer = requiring(own);
    await agent.pauseOver();
    expect(agent.upgrades).toEqual([bad, good]);
    expect(agent.pauses()).toHaveLength(2);
    await agent.told(bad);
    expect(agent.upgrades).toEqual([bad, good, bad]);
  });

  it('is tried again where no worker could be created, and where the server is away', async () => {
    const agent = activeAgent();
    agent.world.outcome = new Error('no space left on device');
    await agent.told(bad);
    await agent.pauseOver();
    expect(agent.upgrades).toEqual([bad, bad]);
  });

  it('is not hurried by bootstraps that say the same, but by one that says something else', async () => {
    const agent = activeAgent();
    await agent.told(bad);
    await agent.told(bad);
    expect(agent.upgrades).toEqual([bad]);
    await agent.told(good);
    expect(agent.upgrades).toEqual([bad, good]);
  });

  it('is over when it succeeds', async () => {
    const agent = activeAgent();
    agent.world.outcome = 0;
    await agent.told(good);
    expect(agent.pauses()).toEqual([]);
  });
});

describe('an image that is refused for now', () => {
  it('is looked at again when that time is over, without a worker until then', async () => {
    const agent = activeAgent();
    agent.world.decision = { do: 'wait', until: 20 * minute };
    agent.world.answer = requiring(good);
    await agent.told(good);
    expect(agent.pauses()).toEqual([20 * minute]);
    agent.world.decision = undefined;
    await agent.pauseOver();
    expect(agent.upgrades).toEqual([good]);
  });
});

describe('an agent that is stopped', () => {
  it('leaves its pause at once and does nothing more', async () => {
    const agent = activeAgent();
    await agent.told(bad);
    agent.stop.abort(new Error('SIGTERM'));
    await agent.pauseOver();
    expect(agent.upgrades).toEqual([bad]);
    expect(agent.asked).toEqual([]);
  });
});
