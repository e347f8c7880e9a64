import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { callEngine } from '../support/engine-call.ts';
import { images, limits, startScene, type Scene } from '../support/scene.ts';
import { mountSilentDisk, type SilentDisk } from '../support/silent-disk.ts';

let scene: Scene;
let disk: SilentDisk | undefined;

beforeAll(async () => {
  scene = await startScene({ name: 'silent-disk' });
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
});
afterEach(async () => {
  await scene.host.proxy.reset();
  await disk?.unmount();
  disk = undefined;
  await scene.reset();
});
afterAll(async () => scene.close());

async function expectAgentUntouched(id: string | undefined): Promise<void> {
  expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Id: id, State: { Running: true } });
  await scene.removeUpgradeContainer();
  await scene.waitFor('nothing but the agent is left', async () =>
    (await scene.names()).join() === 'rancher-agent' ? true : undefined,
  );
}

it('puts an upgrade off where the disk of the Docker root does not answer, and the worker ends', async () => {
  const agent = await scene.host.inspect('rancher-agent');
  disk = await mountSilentDisk(scene.host, '/var/lib/silent');
  const { body } = await callEngine(scene.host.engineSocketPath, 'GET', '/info');
  // The engine itself has to go on, so its data is elsewhere.
  scene.host.proxy.addRule({
    match: ({ path }) => path.endsWith('/info'),
    action: { kind: 'answer', status: 200, body: { ...(body as object), DockerRootDir: '/var/lib/silent' } },
  });
  await disk.silence();
  const result = await scene.upgrade(images.b, ...limits({ HOST_FILE: 2_000 }));
  expect(result, result.stderr).toMatchObject({ status: 75 });
  expect(result.stderr).toContain('deferred: the storage of this host does not answer');
  expect(await scene.readStatus()).toMatchObject({ state: 'deferred', cause: 'storage-silent' });
  await expectAgentUntouched(agent?.Id);
});

it('ends a worker whose status and lock are on a disk that goes silent, and goes on when it speaks again', async () => {
  disk = await mountSilentDisk(scene.host, '/var/lib/rancher');
  const agent = await scene.host.inspect('rancher-agent');
  const silence = disk.silence;
  scene.host.proxy.addRule({
    match: ({ userAgent, path }) => userAgent.includes('(worker)') && path.endsWith('/containers/create'),
    times: 1,
    action: { kind: 'call', when: 'before', run: silence },
  });
  const result = await scene.upgrade(
    images.b,
    ...limits({ HOST_FILE: 2_000, WORKER_LIFE: 16_000, LOCK_STALE: 6_000, LOCK_REFRESH: 2_000 }),
  );
  expect(result, result.stderr).toMatchObject({ status: 75 });
  expect(result.stderr).toContain('the lock of this host was lost');
  expect(await scene.host.inspect('rancher-agent')).toMatchObject({
    Id: agent?.Id,
    State: { Running: true },
  });
  disk.speak();
  await scene.removeUpgradeContainer();
  const again = await scene.upgrade(images.b);
  expect(again, again.stderr).toMatchObject({ status: 0 });
  await scene.removeUpgradeContainer();
  expect((await scene.settled())[0]).toMatchObject({ image: images.b, state: 'running' });
});
