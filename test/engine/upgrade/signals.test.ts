import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RecordedRequest } from '../../support/engine-proxy/engine-proxy.ts';
import { images, limits, startScene, upgradeArguments, type Scene } from '../../support/scenes/scene.ts';

/** What `docker stop` gives a container before it kills it. */
const graceMs = 10_000;

let scene: Scene;
let old: string;

beforeAll(async () => {
  scene = await startScene({ name: 'signals' });
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
  old = (await scene.host.inspect('rancher-agent'))?.Id ?? '';
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

/** The worker's first request of a phase. */
const phases = {
  preflight: ({ path }) => path === '/info',
  stop: ({ path }) => path.endsWith('/stop'),
  promote: ({ path, query }) => path.endsWith('/rename') && query['name'] === 'rancher-agent',
  discard: ({ method }) => method === 'DELETE',
} satisfies Record<string, (request: RecordedRequest) => boolean>;

/** Types `docker stop` while the worker's request is on its way. @returns how long it took, in ms */
async function stopAt(phase: keyof typeof phases, container: string): Promise<{ ms: Promise<number> }> {
  return new Promise((resolve) => {
    scene.host.proxy.addRule({
      match: (request) => request.userAgent.includes('(worker)') && phases[phase](request),
      times: 1,
      action: {
        kind: 'call',
        when: 'before',
        run: async () => {
          resolve({ ms: stopNow(container) });
          // The signal is there before the engine's answer is.
          await sleep(500);
        },
      },
    });
  });
}

/** With a server that requires nothing, or the agent that comes back would begin an upgrade of its own. */
async function upgrade(image: string): ReturnType<Scene['upgrade']> {
  scene.server.setRequiredImage('');
  return scene.host.tryDocker(...upgradeArguments(image));
}

async function stopNow(container: string): Promise<number> {
  const begun = Date.now();
  await scene.host.docker('stop', container);
  return Date.now() - begun;
}

async function expectOneAgent(): Promise<void> {
  await scene.removeUpgradeContainer();
  const running = (await scene.host.containers()).filter(({ state }) => state === 'running');
  expect(running.map(({ name }) => name)).toEqual(['rancher-agent']);
  const environment = (await scene.host.inspect('rancher-agent'))?.Config.Env ?? [];
  expect(environment.some((entry) => entry.startsWith('CATTLE_SECRET_KEY='))).toBe(true);
}

describe('docker stop of the worker', () => {
  it.each(['preflight', 'stop', 'promote'] as const)(
    'at "%s" ends it in time and by itself: the old agent runs, the state says so, the next upgrade goes through',
    async (phase) => {
      const stopping = stopAt(phase, 'rancher-agent-worker');
      const result = await upgrade(images.b);
      // 143 is the worker's own end; had it been killed (137), its caller would have made another one.
      expect(result, result.stderr).toMatchObject({ status: 143 });
      expect(await (await stopping).ms).toBeLessThan(graceMs);
      expect(await scene.readStatus()).toMatchObject({
        state: 'deferred',
        exitCode: 143,
        cause: 'interrupted',
        next: 'the next start goes on',
      });
      expect(result.stderr).toMatch(/deferred: stopped by SIGTERM/);
      await expectOneAgent();
      expect((await scene.settled())[0]).toMatchObject({ id: old, image: images.a });

      const again = await upgrade(images.b);
      expect(again, again.stderr).toMatchObject({ status: 0 });
    },
  );

  it('at "discard" keeps the new agent, which has shown that it runs, and the next start removes the old one', async () => {
    const stopping = stopAt('discard', 'rancher-agent-worker');
    const result = await scene.upgrade(images.b);
    expect([0, 143], result.stderr).toContain(result.status);
    expect(await (await stopping).ms).toBeLessThan(graceMs);
    await expectOneAgent();
    expect((await scene.host.inspect('rancher-agent'))?.Config.Image).toBe(images.b);
    expect(['ok', 'deferred']).toContain((await scene.readStatus())['state']);
    const again = await scene.upgrade(images.b);
    expect(again, again.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    await scene.settled();
  });

  it('ends it at once while it waits between two tries', async () => {
    const pause = limits({ ATTEMPT_PAUSE_MIN: 600_000 });
    expect(await scene.upgrade(images.broken, ...pause)).toMatchObject({ status: 73 });
    await scene.removeUpgradeContainer();
    const waiting = scene.upgrade(images.broken, ...pause);
    await scene.waitFor('a worker that waits', async () =>
      (await scene.readStatus())['phase'] === 'waiting' ? true : undefined,
    );
    expect(await stopNow('rancher-agent-worker')).toBeLessThan(graceMs);
    expect(await waiting).toMatchObject({ status: 143 });
    expect(await scene.readStatus()).toMatchObject({ state: 'deferred', cause: 'interrupted' });
    await expectOneAgent();
  });
});

describe('docker stop of the caller', () => {
  it('makes it exit with 1 in time, and the worker continues', async () => {
    const stopping = stopAt('promote', 'rancher-agent-upgrade');
    const result = await upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 1 });
    expect(result.stderr).toContain('stopped by SIGTERM');
    expect(await (await stopping).ms).toBeLessThan(graceMs);
    await scene.removeUpgradeContainer();
    expect((await scene.settled())[0]).toMatchObject({ image: images.b, state: 'running' });
    await scene.waitFor('state ok', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
  });
});
