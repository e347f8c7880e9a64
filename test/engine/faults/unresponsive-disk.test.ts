import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { callEngine } from '../../support/host/engine-call.ts';
import type { ProxyRule } from '../../support/engine-proxy/engine-proxy.ts';
import { mountFrozenDisk, type FrozenDisk } from '../../support/host/frozen-disk.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';
import { mountUnresponsiveDisk, type UnresponsiveDisk } from '../../support/host/unresponsive-disk.ts';

let scene: Scene;
let disk: Pick<UnresponsiveDisk | FrozenDisk, 'unmount'> | undefined;

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

async function expectNextUpgrade(): Promise<void> {
  const again = await scene.upgrade(images.b);
  expect(again, again.stderr).toMatchObject({ status: 0 });
  await scene.removeUpgradeContainer();
  expect((await scene.settled())[0]).toMatchObject({ image: images.b, state: 'running' });
}

const byWorker =
  (call: string): ProxyRule['match'] =>
  ({ userAgent, path }) =>
    userAgent.includes('(worker)') && path.endsWith(call);
const nextIsMade = byWorker('/containers/create');
const agentIsStopped = byWorker('/stop');
const soon = limits({
  HOST_FILE: 2_000,
  WORKER_LIFE: 40_000,
  LOCK_STALE: 6_000,
  LOCK_REFRESH: 2_000,
  LOCK_LOOK: 2_000,
  FOLLOW_POLL: 4_000,
});

it('an upgrade is deferred where the disk of the Docker root does not answer, and its worker exits', async () => {
  const agent = await scene.host.inspect('rancher-agent');
  const silent = await mountUnresponsiveDisk(scene.host, '/var/lib/silent');
  disk = silent;
  const { body } = await callEngine(scene.host.engineSocketPath, 'GET', '/info');
  // The engine itself has to go on, so its data is elsewhere.
  scene.host.proxy.addRule({
    match: ({ path }) => path.endsWith('/info'),
    action: { kind: 'answer', status: 200, body: { ...(body as object), DockerRootDir: '/var/lib/silent' } },
  });
  await silent.silence();
  const result = await scene.upgrade(images.b, ...limits({ HOST_FILE: 2_000 }));
  expect(result, result.stderr).toMatchObject({ status: 75 });
  expect(result.stderr).toContain('deferred: the storage of this host does not answer');
  expect(await scene.readStatus()).toMatchObject({ state: 'deferred', cause: 'disk-unresponsive' });
  await expectAgentUntouched(agent?.Id);
});

it.each([
  // Before the old agent is stopped, and when the new one has taken over.
  { longest: 'STANDBY', silentFrom: nextIsMade, image: images.a, says: /^state +working, /m },
  {
    longest: 'VERIFY',
    silentFrom: agentIsStopped,
    image: images.b,
    says: /read the status: no answer\s+within 1 s/,
  },
])(
  'a worker ends when the disk of its status and lock stops answering in $longest, $image is active, and the work continues when the disk answers again',
  async ({ longest, silentFrom, image, says }) => {
    const silent = await mountUnresponsiveDisk(scene.host, '/var/lib/rancher');
    disk = silent;
    scene.host.proxy.addRule({
      match: silentFrom,
      times: 1,
      action: { kind: 'call', when: 'before', run: silent.silence },
    });
    const result = await scene.upgrade(images.b, ...soon, ...limits({ [longest]: 12_000 }));
    expect(result, result.stderr).toMatchObject({ status: 75 });
    expect(result.stderr).toContain('the lock of this host was lost');
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Config: { Image: image },
      State: { Running: true },
    });
    // The agent that was made while the disk was silent has it mounted; the other one has what was there before.
    const status = await scene.host.tryDocker(
      ...['exec', '-e', 'AGENT_LIMIT_STATUS_FILE=1000', 'rancher-agent', '/run.sh', 'status'],
    );
    expect(status.stdout, `status ${status.status}: ${status.stderr}`).toMatch(says);
    silent.speak();
    await scene.removeUpgradeContainer();
    await expectNextUpgrade();
  },
);

it('no caller waits for a worker that the kernel does not let exit, and no second worker is created', async () => {
  const frozen = await mountFrozenDisk(scene.host, '/var/lib/rancher');
  disk = frozen;
  const agent = await scene.host.inspect('rancher-agent');
  scene.host.proxy.addRule({
    match: byWorker('/info'),
    times: 1,
    action: { kind: 'call', when: 'before', run: frozen.freeze },
  });
  for (const image of [images.b, images.broken]) {
    const result = await scene.upgrade(image, ...soon);
    expect(result, result.stderr).toMatchObject({ status: 75 });
    expect(result.stderr).toMatch(/^STUCK: a disk of this host does not answer.* \(exit status 75\)$/m);
    expect(result.stderr).toContain('the worker is hung: a disk on this host is not responding');
    await scene.removeUpgradeContainer();
    expect((await scene.names()).join()).toBe('rancher-agent,rancher-agent-worker');
    expect(await scene.host.inspect('rancher-agent-worker')).toMatchObject({ State: { Running: true } });
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Id: agent?.Id,
      State: { Running: true },
    });
  }
  await frozen.thaw();
  await scene.settled();
  await expectNextUpgrade();
});

it('an upgrade is completed when the disk stops answering in the middle, and does not wait for it between the two agents', async () => {
  const frozen = await mountFrozenDisk(scene.host, '/var/lib/rancher');
  disk = frozen;
  scene.host.proxy.addRule({
    match: nextIsMade,
    times: 1,
    action: { kind: 'call', when: 'before', run: frozen.freeze },
  });
  const result = await scene.upgrade(images.b, ...soon, ...limits({ LOCK_STALE: 60_000 }));
  expect(result, result.stderr).toMatchObject({ status: 0 });
  expect(result.stderr).toMatch(/^STUCK: .* \(exit status 0\)$/m);
  await scene.removeUpgradeContainer();
  await frozen.thaw();
  expect((await scene.settled())[0]).toMatchObject({ image: images.b, state: 'running' });
  await scene.waitFor('the state that could not be written', async () =>
    (await scene.readStatus())['state'] === 'ok' ? true : undefined,
  );
});
