import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecordedRequest } from '../support/engine-proxy.ts';
import { images, limits, startScene, type Scene } from '../support/scene.ts';

/*
 * Worker and caller are SIGKILLed before and after each engine request of a whole upgrade; the next start converges.
 * `CRASH_POINTS=all` takes every point (scripts/crash-points), otherwise every `stride`-th, the ends included.
 */
const stride = process.env['CRASH_POINTS'] === 'all' ? 1 : 5;

const hasty = limits({ VERIFY: 500, VERIFY_POLL: 250, STAND_BY: 300, ATTEMPT_PAUSE_MIN: 1 });

function isWorkers({ userAgent }: RecordedRequest): boolean {
  return userAgent.includes('(worker)');
}

describe.each([
  ['an engine of today', undefined],
  ['an engine without AutoRemove (API 1.22)', '1.22'],
])('on %s', (_title, api) => {
  let scene: Scene;
  let environment: readonly string[];
  let points = 0;

  beforeAll(async () => {
    scene = await startScene(api === undefined ? { name: 'crash-now' } : { name: 'crash-old', api });
    const result = await scene.register(images.a, ...hasty);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.settled();
    environment = await keysOf();
    // A whole upgrade tells how many points there are.
    await scene.host.proxy.reset();
    await upgradeTo(images.b);
    points = scene.host.proxy.count(isWorkers);
  });
  afterAll(async () => scene.close());

  async function keysOf(): Promise<readonly string[]> {
    const entries = (await scene.host.inspect('rancher-agent'))?.Config.Env ?? [];
    return entries.filter((entry) => entry.startsWith('CATTLE_')).sort();
  }

  async function upgradeTo(image: string): Promise<void> {
    await scene.removeUpgradeContainer();
    const result = await scene.upgrade(image, ...hasty);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ state: 'running', image });
  }

  /** An upgrade during which everybody is killed at the worker's n-th request; false if it came to its end before. */
  async function upgradeKilledAt(n: number, when: 'before' | 'after', image: string): Promise<boolean> {
    let count = 0;
    let killed = false;
    const remove = scene.host.proxy.addRule({
      match: (request) => isWorkers(request) && ++count === n,
      times: 1,
      action: {
        kind: 'call',
        when,
        run: async () => {
          killed = true;
          await scene.host.tryDocker('kill', '-s', 'KILL', 'rancher-agent-upgrade');
          await scene.host.tryDocker('kill', '-s', 'KILL', 'rancher-agent-worker');
        },
      },
    });
    await scene.upgrade(image, ...hasty);
    remove();
    return killed;
  }

  it.each(['before', 'after'] as const)(
    'killed %s any engine request of an upgrade, the next start converges',
    async (when) => {
      expect(points).toBeGreaterThan(20);
      const reached = new Set<number>();
      for (let n = 1; n <= points; n += stride) {
        const current = (await scene.host.inspect('rancher-agent'))?.Config.Image;
        const target = current === images.a ? images.b : images.a;
        const killed = await upgradeKilledAt(n, when, target);
        if (killed) reached.add(n);
        await upgradeTo(target);
        expect(await keysOf(), `keys after a kill ${when} request ${n}`).toEqual(environment);
        expect(await scene.readStatus(), `state after a kill ${when} request ${n}`).toMatchObject({
          state: 'ok',
        });
      }
      console.log(`killed ${when} ${reached.size} of ${points} engine requests of an upgrade`);
      // The last few requests may fall away when a look more or less is needed; the others were all hit.
      expect(reached.size).toBeGreaterThanOrEqual(Math.ceil(points / stride) - 2);
    },
    30 * 60_000,
  );
});
