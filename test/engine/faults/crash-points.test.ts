import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RecordedRequest } from '../../support/engine-proxy/engine-proxy.ts';
import { hasEarlierCommit } from '../../support/images/earlier-version.ts';
import { buildMs } from '../../support/images/readiness-images.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/*
 * Worker and caller are SIGKILLed before and after each engine request of a whole upgrade; the next start converges. Proving
 * readiness and watching the bootstrap are in the path.
 * `CRASH_POINTS=all` takes every point (scripts/long/crash-points), otherwise every `stride`-th, the ends included.
 */
const stride = process.env['CRASH_POINTS'] === 'all' ? 1 : 5;

const hasty = limits({
  VERIFY: 500,
  VERIFY_POLL: 250,
  STANDBY: 300,
  READY: 15_000,
  READY_POLL: 250,
  BOOTSTRAP_WATCH: 500,
  ATTEMPT_PAUSE_MIN: 1,
});

/** The same limits under the names that version 0.1 knows; each version warns of the other's, and goes on. */
const hastyBefore = limits({ STAND_BY: 300, STAND_BY_ALONE: 2_000, PING_PONG_RETURNS: 100_000 });

function isWorkers({ userAgent }: RecordedRequest): boolean {
  return userAgent.includes('(worker)');
}

interface Line {
  readonly title: string;
  readonly name: string;
  readonly api?: string;
  /** Upgrades go to and fro between them. */
  readonly pair: readonly [string, string];
}

/** Every request is struck in both directions where the two versions differ. */
const lines: readonly Line[] = [
  { title: 'on an engine of today', name: 'crash-now', pair: [images.a, images.b] },
  {
    title: 'on an engine without AutoRemove (API 1.22)',
    name: 'crash-old',
    api: '1.22',
    pair: [images.a, images.b],
  },
  { title: 'from version 0.1 and back to it', name: 'crash-mixed', pair: [images.earlier, images.b] },
];

describe.each(lines)('$title', ({ name, api, pair: [first, second] }) => {
  const isMixed = first === images.earlier;
  const short = isMixed ? [...hasty, ...hastyBefore] : hasty;
  let scene: Scene;
  let environment: readonly string[];
  let points = 0;
  let hasHistory = true;

  beforeAll(async () => {
    hasHistory = await hasEarlierCommit();
    const options = { name, ...(isMixed ? { images: 'earlier' as const } : {}) };
    scene = await startScene(api === undefined ? options : { ...options, api });
    const result = await scene.register(first, ...short);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.settled();
    environment = await keysOf();
    // A whole upgrade tells how many points there are; of two directions the longer one.
    for (const target of [second, first]) {
      await scene.host.proxy.reset();
      await upgradeTo(target);
      points = Math.max(points, scene.host.proxy.count(isWorkers));
    }
    if (isMixed) console.log(`the image of version 0.1: revision ${await revisionOf(images.earlier)}`);
  }, buildMs);
  afterAll(async () => scene.close());

  async function revisionOf(image: string): Promise<string> {
    const label = '{{index .Config.Labels "org.opencontainers.image.revision"}}';
    return scene.host.docker('image', 'inspect', '--format', label, image);
  }

  async function keysOf(): Promise<readonly string[]> {
    const entries = (await scene.host.inspect('rancher-agent'))?.Config.Env ?? [];
    return entries.filter((entry) => entry.startsWith('CATTLE_')).sort();
  }

  async function upgradeTo(image: string): Promise<void> {
    await scene.removeUpgradeContainer();
    const result = await scene.upgrade(image, ...short);
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
    await scene.upgrade(image, ...short);
    remove();
    return killed;
  }

  /** The worker is of the target's version. Today's knows that an image without the readiness label reports nothing. */
  function stateAfter(target: string) {
    const isStandIn = target === images.earlier && !hasHistory;
    return isStandIn ? { state: 'degraded', cause: 'serving-unknown' } : { state: 'ok' };
  }

  /** Kills an upgrade to the other image at the n-th request, and has the next start converge. @returns whether it was hit */
  async function strike(n: number, when: 'before' | 'after'): Promise<boolean> {
    const current = (await scene.host.inspect('rancher-agent'))?.Config.Image;
    const target = current === first ? second : first;
    const killed = await upgradeKilledAt(n, when, target);
    await upgradeTo(target);
    expect(await keysOf(), `keys after a kill ${when} request ${n} of an upgrade to ${target}`).toEqual(
      environment,
    );
    expect(
      await scene.readStatus(),
      `state after a kill ${when} request ${n} of an upgrade to ${target}`,
    ).toMatchObject(stateAfter(target));
    return killed;
  }

  it.each(['before', 'after'] as const)(
    'killed %s any engine request of an upgrade, the next start converges',
    async (when) => {
      expect(points).toBeGreaterThan(20);
      const reached = new Set<number>();
      for (let n = 1; n <= points; n += stride) {
        if (await strike(n, when)) reached.add(n);
        if (isMixed && (await strike(n, when))) reached.add(n);
      }
      console.log(`killed ${when} ${reached.size} of ${points} engine requests of an upgrade`);
      // The last few requests may fall away when a look more or less is needed; the others were all hit.
      expect(reached.size).toBeGreaterThanOrEqual(Math.ceil(points / stride) - 2);
    },
    (isMixed ? 60 : 30) * 60_000,
  );
});
