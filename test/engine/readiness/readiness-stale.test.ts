import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { readinessFile } from '../../../src/agent/run/readiness/result.ts';
import { throwSwitch } from '../../support/server/stub/stub-switches.ts';
import type { RecordedRequest } from '../../support/engine-proxy/engine-proxy.ts';
import { buildMs, readinessImage, requiredName } from '../../support/images/readiness-images.ts';
import { startReadinessStage, type ReadinessStageHost } from '../../support/scenes/readiness-stage.ts';
import { limits } from '../../support/scenes/scene.ts';

/* A readiness result counts for the very start that wrote it, and for 30 s: results of other starts, and copies, prove nothing. */
let stage: ReadinessStageHost;

beforeAll(async () => {
  stage = await startReadinessStage({ name: 'readiness-stale' });
}, buildMs);
afterEach(async () => stage.reset());
afterAll(async () => stage.close());

const testMs = 180_000;

function byWorker(path: RegExp): (request: RecordedRequest) => boolean {
  return (request) =>
    request.method === 'POST' && request.userAgent.includes('(worker)') && path.test(request.path);
}

/** Runs something right before a worker's request. */
function before(
  match: (request: RecordedRequest) => boolean,
  run: (request: RecordedRequest) => Promise<unknown>,
): void {
  stage.scene.host.proxy.addRule({
    match,
    times: 1,
    action: {
      kind: 'call',
      when: 'before',
      run: async (request) => {
        await run(request);
      },
    },
  });
}

async function breakServer(): Promise<void> {
  await throwSwitch(stage.scene.server, 'any:status=503');
}

async function kill(...names: readonly string[]): Promise<void> {
  for (const name of names) await stage.scene.host.tryDocker('kill', '-s', 'KILL', name);
}

/** Healthy again, a new request reaches the target, whatever the host was left with. */
async function converge(): Promise<void> {
  const { scene } = stage;
  scene.host.proxy.clearRules();
  await scene.server.heal();
  scene.server.setRequiredImage(requiredName);
  // The next agent may be in the middle of a try that began before the server was healthy again.
  const again = await scene.upgrade(requiredName, ...limits({ READY: 60_000, WORKER_TOTAL: 120_000 }));
  expect(again, again.stderr).toMatchObject({ status: 0 });
  await scene.removeUpgradeContainer();
  await stage.upgraded(requiredName, 60);
}

it(
  'power cut while the next agent is not ready yet: the old agent works again, and the next one is not promoted',
  async () => {
    const { scene } = stage;
    const old = await stage.startHardened();
    await stage.provide('trusting');
    before(byWorker(/\/start$/), breakServer);
    const upgrade = scene.upgrade(requiredName);
    await scene.waitFor('a next agent that runs', async () =>
      (await scene.host.inspect('rancher-agent-next'))?.State.Running === true ? true : undefined,
    );
    await scene.host.reboot();
    await upgrade;
    await scene.host.knowName('rancher', scene.host.gateway);
    await scene.removeUpgradeContainer();
    await scene.waitFor('the old agent runs', async () => {
      const agent = await scene.host.inspect('rancher-agent');
      return agent?.Id === old.id && agent.State.Running ? true : undefined;
    });
    await converge();
  },
  testMs,
);

it(
  'power cut after the next agent was ready: after the boot it has to be ready again before the old agent is stopped',
  async () => {
    const { scene } = stage;
    const old = await stage.startHardened();
    await stage.provide('trusting');
    let boot: Promise<void> | undefined;
    before(byWorker(new RegExp(`/${old.id}/stop$`)), async () => {
      await breakServer();
      boot = scene.host.reboot();
    });
    await scene.upgrade(requiredName);
    await scene.waitFor('the power cut', async () => Promise.resolve(boot === undefined ? undefined : true));
    await boot;
    await scene.host.knowName('rancher', scene.host.gateway);
    await scene.host.proxy.reset();
    await scene.removeUpgradeContainer();
    // Whoever continues here would believe the result of the start before, if it were not of that start.
    const result = await scene.upgrade(requiredName);
    expect(result.status, result.stderr).toBe(75);
    expect(scene.host.proxy.count(({ path }) => path === `/containers/${old.id}/stop`)).toBe(0);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Id: old.id, State: { Running: true } });
    await converge();
  },
  testMs,
);

it(
  'a next agent that the daemon started, as Docker 1.10.3 starts a created one, is promoted only when it is ready',
  async () => {
    const { scene } = stage;
    const old = await stage.startHardened();
    await stage.provide('trusting');
    before(byWorker(/\/start$/), async () => {
      await breakServer();
      await kill('rancher-agent-upgrade', 'rancher-agent-worker');
    });
    await scene.upgrade(requiredName);
    await scene.host.docker('start', 'rancher-agent-next');
    await scene.host.proxy.reset();
    const result = await scene.upgrade(requiredName);
    expect(result.status, result.stderr).toBe(75);
    expect(scene.host.proxy.count(({ path }) => path === `/containers/${old.id}/stop`)).toBe(0);
    await stage.expectUntouched(old);
    await converge();
  },
  testMs,
);

it(
  'a worker killed between ready and stop: the next one continues with the same next agent',
  async () => {
    const { scene } = stage;
    const old = await stage.startHardened();
    await stage.provide('trusting');
    before(byWorker(new RegExp(`/${old.id}/stop$`)), async () => kill('rancher-agent-worker'));
    // A next agent that is alone has a worker reconcile, which removes it while another agent is active. The tests' 2 s for that
    // are shorter than a caller needs on a loaded machine to follow its worker's end.
    const result = await scene.upgrade(requiredName, ...limits({ STANDBY_ALONE: 60_000 }));
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    await stage.upgraded(requiredName, 60);
    const next = scene.host.proxy.count(
      ({ path, query, status }) =>
        path === '/containers/create' &&
        query['name']?.startsWith('rancher-agent-next') === true &&
        status === 201,
    );
    expect(next).toBe(1);
  },
  testMs,
);

it(
  'a worker killed between ready and stop, and a server that is away since: the next worker does not stop the old agent',
  async () => {
    const { scene } = stage;
    const old = await stage.startHardened();
    await stage.provide('trusting');
    before(byWorker(new RegExp(`/${old.id}/stop$`)), async () => {
      await breakServer();
      await kill('rancher-agent-upgrade', 'rancher-agent-worker');
      await scene.host.docker('restart', '--time', '0', 'rancher-agent-next');
    });
    await scene.upgrade(requiredName);
    await scene.host.proxy.reset();
    const result = await scene.upgrade(requiredName);
    expect(result.status, result.stderr).toBe(75);
    await stage.expectUntouched(old);
    await converge();
  },
  testMs,
);

it(
  'an image committed from a ready container carries its result, and nobody believes it',
  async () => {
    const { scene } = stage;
    const old = await stage.startHardened();
    await stage.provide('trusting');
    const forged = 'rancher/agent:ready-committed';
    before(byWorker(new RegExp(`/${old.id}/stop$`)), async () => {
      await scene.host.docker('commit', 'rancher-agent-next', forged);
      await breakServer();
      await kill('rancher-agent-upgrade', 'rancher-agent-worker');
      await scene.host.docker('rm', '-f', 'rancher-agent-next');
    });
    await scene.upgrade(requiredName);
    const shell = ['run', '--rm', '--entrypoint', 'cat', forged, readinessFile];
    expect(JSON.parse(await scene.host.docker(...shell))).toMatchObject({ ready: true });
    await scene.host.docker('tag', forged, requiredName);
    await scene.host.proxy.reset();
    const result = await scene.upgrade(requiredName);
    expect(result.status, result.stderr).toBe(75);
    await stage.expectUntouched(old);
    await stage.provide('trusting');
    await converge();
  },
  testMs,
);

it('the image of this table without the readiness label would be one of an earlier version', async () => {
  const label = await stage.scene.host.docker(
    ...['image', 'inspect', '--format', '{{index .Config.Labels "io.rancher.agent-entrypoint.readiness"}}'],
    readinessImage('trusting'),
  );
  expect(label).toBe('1');
});
