import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { images, limits, startScene, type Scene } from '../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };
const script = '/usr/lib/rancher-agent-entrypoint/health.sh';
/** Docker's own check, as often as a test can wait for it. */
const often = ['--health-interval', '500ms', '--health-retries', '2'];

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'health', stub: { agents: [keys] } });
});
afterEach(async () => {
  Object.assign(scene.server.behaviour, { bootstrap: 'ok', bootstrapRun: 'runs-long' });
  scene.server.setRequiredImage(images.a);
  await scene.reset();
});
afterAll(async () => scene.close());

async function healthOf(name: string): Promise<{ status: string; says: string } | undefined> {
  const health = (await scene.host.inspect(name))?.State.Health;
  return health === undefined
    ? undefined
    : { status: health.Status, says: health.Log.at(-1)?.Output.trim() ?? '' };
}

async function becomes(status: string, says: string | RegExp): Promise<true> {
  return scene.waitFor(`${status}: ${String(says)}`, async () => {
    const health = await healthOf('rancher-agent');
    return health?.status === status && health.says.match(says) !== null ? true : undefined;
  });
}

async function stateIs(state: string): Promise<Record<string, unknown>> {
  return scene.waitFor(`the state ${state}`, async () => {
    const status = await scene.readStatus().catch((): Record<string, unknown> => ({}));
    return status['state'] === state ? status : undefined;
  });
}

describe('a container', () => {
  it('is unhealthy while the event loop of the agent hangs, and healthy when it runs again', async () => {
    await scene.startAgent(keys, ...often, ...limits({ HEARTBEAT: 300, HEARTBEAT_STALE: 2_000 }));
    await becomes('healthy', /^healthy$/);
    const pid = (await scene.host.inspect('rancher-agent'))?.State.Pid;
    await scene.host.docker('exec', 'rancher-agent', 'bash', '-c', `kill -STOP ${pid}`);
    await becomes('unhealthy', /^unhealthy: the process has been silent for \d+ s/);
    await scene.host.docker('exec', 'rancher-agent', 'bash', '-c', `kill -CONT ${pid}`);
    await becomes('healthy', /^healthy$/);
  });

  it('is healthy while the server requires an image that cannot run: a restart would hurt a working agent', async () => {
    await scene.startAgent(keys, ...often);
    const before = await scene.host.inspect('rancher-agent');
    scene.server.setRequiredImage(images.broken);
    await scene.host.docker('restart', '-t', '5', 'rancher-agent');
    await stateIs('failed');
    expect(await scene.host.docker('exec', 'rancher-agent', script)).toBe('healthy');
    await becomes('healthy', /^healthy$/);
    expect((await scene.host.inspect('rancher-agent'))?.Id).toBe(before?.Id);
  });

  it('is healthy when its agent has never reached the server; the state says that it does not serve', async () => {
    const nowhere = ['-e', `CATTLE_URL=http://${scene.host.gateway}:9/v1`];
    const soon = limits({ SERVING_GRACE: 2_000, SERVING_SILENCE: 3_000, SERVING_TICK: 300 });
    await scene.startAgent(keys, ...often, ...nowhere, ...soon);
    const status = await stateIs('degraded');
    expect(status).toMatchObject({
      command: 'run',
      until: 'serving',
      serving: { serving: 'no', server: `http://${scene.host.gateway}:9` },
    });
    await becomes('healthy', /^healthy$/);
    const report = JSON.parse(
      await scene.host.docker('exec', 'rancher-agent', '/run.sh', 'status', '--json'),
    ) as Record<string, unknown>;
    expect(report).toMatchObject({
      verdict: 'unhealthy',
      text: expect.stringContaining('does not serve') as string,
      serving: { kind: 'fresh', record: { serving: 'no' } },
    });
  });

  it('is healthy on standby, whatever the state of the host says, and without a heartbeat', async () => {
    const folder = join(scene.host.stateDir, 'entrypoint');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'state'), 'failed\n');
    await scene.host.docker(
      ...['run', '-d', '--name', 'checked', ...often, '-v', '/var/lib/rancher:/var/lib/rancher'],
      ...[images.a, '--', 'sleep', '3600'],
    );
    await scene.waitFor('a first check', async () =>
      (await healthOf('checked'))?.says === 'healthy: no heartbeat to go by' ? true : undefined,
    );
    await scene.startAgent(keys, ...limits({ STANDBY_ALONE: 60_000 }));
    await scene.host.docker('rename', 'rancher-agent', 'rancher-agent-next');
    await scene.host.docker('restart', '-t', '5', 'rancher-agent-next');
    // The heartbeat of the process before the restart is still fresh: the log says whose it is.
    await scene.waitFor('the word of one on standby', async () => {
      const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent-next');
      return (stdout + stderr).includes('as rancher-agent-next') ? true : undefined;
    });
    await scene.waitFor('the heartbeat of one on standby', async () => {
      const { stdout } = await scene.host.tryDocker('exec', 'rancher-agent-next', script);
      return stdout === 'healthy\n' ? true : undefined;
    });
  });
});

describe('the health check', () => {
  it('is part of the image, and needs neither Node nor anything of the base but its shell', async () => {
    const [image] = JSON.parse(await scene.host.docker('image', 'inspect', images.a)) as [
      { Config: { Healthcheck: { Test: string[]; Interval: number } } },
    ];
    expect(image.Config.Healthcheck).toMatchObject({ Test: ['CMD', script], Interval: 30e9 });
    await mkdir(join(scene.host.stateDir, 'beat'), { recursive: true });
    await writeFile(join(scene.host.stateDir, 'beat/health'), '5 1 ok\n');
    const bare = ['-v', '/dev/null:/usr/lib/rancher-agent-entrypoint/bin/node:ro', '-e', 'PATH=/nowhere'];
    const beat = ['-v', '/var/lib/rancher/beat:/run/rancher-agent-entrypoint'];
    const result = await scene.host.tryDocker(
      'run',
      '--rm',
      ...bare,
      ...beat,
      '--entrypoint',
      script,
      images.a,
    );
    expect(result).toMatchObject({ status: 1, stderr: '' });
    expect(result.stdout).toContain('the process has been silent');
  });
});
