import { execFile } from 'node:child_process';
import { mkdir, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ContainerInspectInfo } from 'dockerode';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { callEngine } from '../../support/host/engine-call.ts';
import type { RecordedRequest } from '../../support/engine-proxy/engine-proxy.ts';
import { makeLeak } from '../../support/scenes/leak-maker.ts';
import type { CommandResult } from '../../support/host/host.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

const run = promisify(execFile);
const mib = 1024 * 1024;

let scene: Scene;
let before: ContainerInspectInfo | undefined;

beforeAll(async () => {
  scene = await startScene({ name: 'storage', smallDisk: { mib: 400 } });
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
  before = await scene.host.inspect('rancher-agent');
});
afterEach(async () => {
  scene.server.behaviour.bootstrapRun = 'runs-long';
  await scene.reset();
});
afterAll(async () => scene.close());

/** Takes what is free on the Docker root's disk, but for so many bytes; `freeDisk` gives it back. */
async function leaveFree(bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(scene.host.dockerRoot);
  const filler = join(scene.host.dockerRoot, 'filler-bytes');
  await run('fallocate', ['-l', String(bavail * bsize - bytes), filler]);
}

function created(): readonly string[] {
  return scene.host.proxy.requests
    .filter(({ method, path }) => method === 'POST' && path.endsWith('/containers/create'))
    .map(({ query }) => query['name'] ?? '(generated)');
}

async function expectDeferred(result: Awaited<ReturnType<Scene['upgrade']>>): Promise<void> {
  expect(result, result.stderr).toMatchObject({ status: 75 });
  expect(result.stderr).toMatch(/WARN: deferred: the storage of this host is low: /);
  expect(await scene.readStatus()).toMatchObject({ state: 'deferred', exitCode: 75, cause: 'storage-low' });
  expect(created()).toEqual(['rancher-agent-worker']);
  expect(await scene.host.inspect('rancher-agent')).toMatchObject({
    Id: before?.Id,
    State: { Running: true, StartedAt: before?.State.StartedAt },
  });
  await scene.removeUpgradeContainer();
  expect(await scene.names()).toEqual(['rancher-agent']);
}

describe('an upgrade on a host whose Docker root is nearly full', () => {
  it('is deferred with the figures before any container of the agent is created, and succeeds when there is room', async () => {
    await leaveFree(100 * mib);
    const result = await scene.upgrade(images.b);
    await expectDeferred(result);
    expect(result.stderr).toMatch(/low: 1\d\d MB free of [\d.]+ [MG]B on the Docker root's file system/);
    expect(result.stderr).toContain('what to do: remove stopped containers and unused images');

    await scene.host.freeDisk();
    const again = await scene.upgrade(images.b);
    expect(again, again.stderr).toMatchObject({ status: 0 });
    expect((await scene.settled())[0]).toMatchObject({ image: images.b, state: 'running' });
  });

  it('succeeds with a lower limit and is deferred with a higher one, for bytes and for inodes', async () => {
    await leaveFree(100 * mib);
    await expectDeferred(await scene.upgrade(images.b));
    await scene.host.proxy.reset();
    const inodes = await scene.upgrade(
      images.b,
      ...limits({ STORAGE_FREE: 50_000_000, STORAGE_FREE_INODES: 100_000_000 }),
    );
    await expectDeferred(inodes);
    expect(inodes.stderr).toMatch(/low: \d+ inodes free of \d+ on the Docker root's file system;/);
    expect(await scene.upgrade(images.b, ...limits({ STORAGE_FREE: 50_000_000 }))).toMatchObject({
      status: 0,
    });
  });

  it('is deferred with the same figures where not even the worker that checks the storage can be created', async () => {
    scene.host.proxy.addRule({
      match: ({ path, query }) =>
        path.endsWith('/containers/create') && query['name'] === 'rancher-agent-worker',
      action: {
        kind: 'answer',
        status: 500,
        body: { message: 'mkdir /var/lib/docker/overlay2/1a7e: no space left on device' },
      },
    });
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 75 });
    expect(result.stderr).toMatch(
      /ERROR: the storage of this host is full.*no space left on device.*cause=storage-low/,
    );
    expect(result.stderr).toContain('what to do: free space or inodes');
    expect((await scene.host.inspect('rancher-agent'))?.State.StartedAt).toBe(before?.State.StartedAt);
  });
});

describe('a disk that is full to the last byte', () => {
  it('costs the host nothing but time: the agent keeps running, and upgrades when there is room', async () => {
    scene.server.behaviour.bootstrapRun = 'exits';
    await mkdir(`${scene.host.stateDir}/etc`, { recursive: true });
    const shorter = ['VERIFY=1000', 'ATTEMPT_PAUSE_MIN=1000', 'UPGRADE_RETRY_MAX=4000'];
    const lines = shorter.map((limit) => `export AGENT_LIMIT_${limit}\n`);
    await writeFile(`${scene.host.stateDir}/etc/agent.conf`, lines.join(''));
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    const asked = (count: number): Promise<true> =>
      scene.waitFor(`bootstrap ${count}`, () =>
        Promise.resolve(scene.server.requestsTo('bootstrap').length >= count ? true : undefined),
      );
    const first = scene.server.requestsTo('bootstrap').length + 1;
    await asked(first);
    await scene.host.fillDisk();
    scene.server.setRequiredImage(images.b);
    await asked(first + 1);
    await scene.waitFor('the state says so', async () =>
      (await scene.readStatus())['cause'] === 'storage-low' ? true : undefined,
    );
    expect(await scene.readStatus()).toMatchObject({ state: 'deferred', exitCode: 75 });
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Id: before?.Id,
      RestartCount: 0,
      State: { Running: true },
    });
    await scene.host.freeDisk();
    await scene.waitFor('the new agent', async () =>
      (await scene.host.inspect('rancher-agent'))?.Config.Image === images.b ? true : undefined,
    );
    expect((await scene.settled())[0]).toMatchObject({ image: images.b, state: 'running' });
  });
});

describe('an upgrade on a host with a devicemapper pool like that of the incident', () => {
  it('is deferred with the use of data and metadata, and with what makes room', async () => {
    await showPool('73.1 MB', ({ userAgent }) => userAgent.includes('(worker)'));
    const result = await scene.upgrade(images.b);
    expect(result.stderr).toContain(
      "96 % of the devicemapper pool's metadata space used (73.1 MB of 75.5 MB, limit 90 %)",
    );
    expect(result.stderr).toMatch(/what to do: remove leaked helpers .*cleanup.*lvextend/);
    await expectDeferred(result);
  });
});

/** Has the engine say that it has a pool of 75.5 MB of metadata, of which so much is used (engine-notes §8). */
async function showPool(
  used: string,
  match: (request: RecordedRequest) => boolean = () => true,
): Promise<void> {
  const { body } = await callEngine(scene.host.engineSocketPath, 'GET', '/info');
  const DriverStatus = [
    ['Pool Name', 'docker-253:1-34-pool'],
    ['Data Space Used', '12.3 GB'],
    ['Data Space Total', '107.4 GB'],
    ['Metadata Space Used', used],
    ['Metadata Space Total', '75.5 MB'],
    ['Deferred Removal Enabled', 'false'],
    ['Deferred Deletion Enabled', 'false'],
  ];
  scene.host.proxy.addRule({
    match: (request) => request.path === '/info' && match(request),
    action: {
      kind: 'answer',
      status: 200,
      body: { ...(body as object), Driver: 'devicemapper', DriverStatus },
    },
  });
}

describe('a host whose pool has no metadata left', () => {
  const removals = (): readonly RecordedRequest[] =>
    scene.host.proxy.requests.filter(({ method }) => method === 'DELETE');
  const execute = async (...command: readonly string[]): Promise<CommandResult> =>
    scene.host.tryDocker('exec', '-e', 'AGENT_LIMIT_SWEEP_AGE=0', 'rancher-agent', '/run.sh', ...command);

  it('removes and upgrades nothing, says in which order to repair it, and continues when the pool has been extended', async () => {
    const lines = ['SWEEP_AGE=0', 'HOUSEKEEPING=200'].map((limit) => `export AGENT_LIMIT_${limit}\n`);
    await mkdir(`${scene.host.stateDir}/etc`, { recursive: true });
    await writeFile(`${scene.host.stateDir}/etc/agent.conf`, lines.join(''));
    const leaked = [];
    for (let count = 0; count < 3; count += 1)
      leaked.push(await makeLeak(scene.host.engineSocketPath, { image: images.a }));
    await showPool('75.5 MB');
    // The storage driver of the agent's own container.
    scene.host.proxy.addRule({
      match: ({ path }) => path === `/containers/${before?.Id ?? ''}/json`,
      action: { kind: 'answer', status: 200, body: { ...before, Driver: 'devicemapper' } },
    });
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');

    await scene.waitFor('the state says so', async () =>
      (await scene.readStatus())['cause'] === 'storage-low' ? true : undefined,
    );
    const status = await scene.readStatus();
    expect(status).toMatchObject({ state: 'deferred', exitCode: 75 });
    expect(status['hint']).toMatch(/lvextend.*docker restart rancher-agent.*cleanup/);
    const log = await scene.waitFor('the sweep', async () => {
      const { stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
      return stderr.includes('removed 0 leaked helpers') ? stderr : undefined;
    });
    expect(log).toMatch(/3 left; the storage cannot take a change/);
    const cleanup = await execute('cleanup', '--yes');
    expect(cleanup, cleanup.stderr).toMatchObject({ status: 75 });
    expect(cleanup.stderr).toContain('nothing was removed: 100 % of the devicemapper pool');
    const doctor = await execute('doctor');
    expect(doctor.stdout.replaceAll(/\s+/g, ' ')).toMatch(/the pool is read-only.*lvextend/);
    expect(removals()).toEqual([]);

    scene.host.proxy.clearRules();
    await showPool('9.1 MB');
    scene.host.proxy.addRule({
      match: ({ path }) => path === `/containers/${before?.Id ?? ''}/json`,
      action: { kind: 'answer', status: 200, body: { ...before, Driver: 'devicemapper' } },
    });
    await scene.waitFor('the state is ok again', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
    const again = await execute('cleanup', '--yes');
    expect(again, again.stderr).toMatchObject({ status: 0 });
    expect(again.stdout).toContain('Removed 3, failed 0');
  });

  it('gets one removal when it fills up meanwhile, because each removal leaves a dead container', async () => {
    for (let count = 0; count < 5; count += 1)
      await makeLeak(scene.host.engineSocketPath, { image: images.a });
    await showPool('70 MB');
    const message = `Driver devicemapper failed to remove root filesystem ${'1'.repeat(64)}: dm_task_run failed`;
    scene.host.proxy.addRule({
      match: ({ method }) => method === 'DELETE',
      action: { kind: 'answer', status: 500, body: { message } },
    });
    const { status, stdout, stderr } = await execute('cleanup', '--yes');
    expect(status, stderr).toBe(75);
    expect(stdout).toContain('Stopped at once with 4 left: the storage cannot take a change.');
    expect(removals()).toHaveLength(1);
  });

  it('defers an upgrade by hand before there is a worker, and the state says so', async () => {
    await showPool('71 MB');
    // Its own container, of which only the storage driver counts.
    let own = '';
    scene.host.proxy.addRule({
      match: ({ path, userAgent }) => {
        const id = /^\/containers\/([0-9a-f]{64})\/json$/.exec(path)?.[1];
        if (id === undefined || !userAgent.includes('(upgrade)')) return false;
        own = id;
        return true;
      },
      action: {
        kind: 'answer',
        status: 200,
        get body() {
          // Without the agent's layer: a container is known by its own.
          const GraphDriver = { Name: 'devicemapper', Data: null };
          return { ...before, Id: own, Driver: 'devicemapper', GraphDriver };
        },
      },
    });
    const result = await scene.upgrade(images.b, '-v', '/var/lib/rancher:/var/lib/rancher');
    expect(result, result.stderr).toMatchObject({ status: 75 });
    expect(await scene.readStatus()).toMatchObject({
      state: 'deferred',
      cause: 'storage-low',
      exitCode: 75,
      command: 'upgrade',
    });
    const createdByHand = scene.host.proxy.requests.filter(
      ({ path, userAgent }) => path.endsWith('/containers/create') && userAgent.includes('(upgrade)'),
    );
    expect(createdByHand).toEqual([]);
  });
});
