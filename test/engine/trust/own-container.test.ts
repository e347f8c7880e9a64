import { execFile } from 'node:child_process';
import { access, rename } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startHost, type CommandResult } from '../../support/host/host.ts';
import { images, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/*
 * Which container a command runs in, and to which engine it talks. The containers of this host see nothing of their cgroup, as
 * with cgroup v2; with the cgroup nothing of this is hard.
 */

const run = promisify(execFile);
const socket = '/var/run/docker.sock';
let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'own', privateCgroups: true });
});
afterAll(async () => scene.close());

async function register(): Promise<void> {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
}

interface Asked {
  readonly Image: string;
  readonly Env: readonly string[];
  readonly HostConfig: { readonly Binds: readonly string[] };
}

/** What the worker was created from. */
function workerAsked(): Asked {
  const create = scene.host.proxy.requests.find(
    ({ path, query }) => path === '/containers/create' && query['name'] === 'rancher-agent-worker',
  );
  return create?.body as Asked;
}

/** Runs a command in a container with a known id. */
async function runIn(
  options: readonly string[],
  ...words: readonly string[]
): Promise<CommandResult & { id: string }> {
  const id = await scene.host.docker(
    ...['create', '--privileged', '-v', `${socket}:${socket}`, ...quick, ...options, ...words],
  );
  const result = await scene.host.tryDocker('start', '-a', id);
  await scene.host.docker('rm', '-f', id);
  return { ...result, id };
}

async function startWeb(image: string = images.base): Promise<string> {
  return scene.host.docker('run', '-d', '--name', 'web', '--entrypoint', 'sleep', image, '86400');
}

describe('an upgrade knows its own container', () => {
  beforeAll(register);
  afterEach(async () => {
    await scene.host.tryDocker('rm', '-f', 'web');
    await scene.host.proxy.reset();
  });
  afterAll(async () => scene.reset());

  it.each([
    ['--net host', ['--net', 'host']],
    ['--uts host', ['--uts', 'host']],
    ['--pid host', ['--pid', 'host']],
    ['a host name of its own', ['--hostname', 'mine']],
    ['the same, and the cgroup of the host', ['--cgroupns', 'host', '--hostname', 'mine']],
    ['with the network of another container, whose files it has then', ['--network', 'container:web']],
    ['the same beside the processes of the host', ['--network', 'container:web', '--pid', 'host']],
  ])('%s', async (_case, options) => {
    await startWeb();
    const result = await runIn(options, images.a, 'upgrade');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(workerAsked().Image).toBe(images.a);
    expect(workerAsked().Env).toContain(`AGENT_CALLER=${result.id}`);
  });

  it("under a host name that is another container's id, and with the network of one from another version", async () => {
    const web = await startWeb(images.b);
    for (const options of [
      ['--hostname', web.slice(0, 12)],
      ['--network', 'container:web'],
    ]) {
      await scene.host.proxy.reset();
      const result = await runIn(options, images.a, 'upgrade');
      expect(result, result.stderr).toMatchObject({ status: 0 });
      expect(workerAsked().Image).toBe(images.a);
      expect(workerAsked().Env).toContain(`AGENT_CALLER=${result.id}`);
    }
  });
});

describe('a registration with the network of another container', () => {
  afterAll(async () => scene.reset());
  it('gives its environment to no image but its own', async () => {
    await startWeb();
    const result = await scene.register(images.a, '--network', 'container:web');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(workerAsked().Image).toBe(images.a);
    const agents = (await scene.only('rancher-agent', 'web')).filter(({ name }) => name === 'rancher-agent');
    expect(agents).toMatchObject([{ image: images.a, state: 'running' }]);
  });
});

describe('DOCKER_HOST with an address of the network, and the socket mounted', () => {
  beforeAll(register);
  afterAll(async () => scene.reset());
  const elsewhere = ['-e', 'DOCKER_HOST=tcp://127.0.0.1:2375', '-e', 'DOCKER_TLS_VERIFY=1'];

  it.each(['upgrade', 'status', 'doctor', 'cleanup', 'ready', 'inspect-host'])(
    'stops %s, which a person typed, before it does anything',
    async (command) => {
      const result = await runIn(elsewhere, images.a, command);
      expect(result, result.stderr).toMatchObject({ status: 78 });
      expect(result.stderr).toContain('DOCKER_HOST is "tcp://127.0.0.1:2375"');
      expect(result.stderr).toContain('unset DOCKER_HOST');
      const asked = scene.host.proxy.requests.filter(({ userAgent }) => userAgent.includes(`(${command})`));
      expect(asked).toEqual([]);
    },
  );

  it('does not stop an agent: it says so, serves, and is upgraded', async () => {
    const environment = (await scene.host.inspect('rancher-agent'))?.Config.Env ?? [];
    const valueOf = (name: string): string =>
      environment.find((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1) ?? '';
    await scene.host.docker('rm', '-f', 'rancher-agent');
    const keys = { accessKey: valueOf('CATTLE_ACCESS_KEY'), secretKey: valueOf('CATTLE_SECRET_KEY') };
    await scene.startAgent(keys, ...quick, ...elsewhere);
    await scene.waitFor('a bootstrap', async () => {
      const { stderr, stdout } = await scene.host.tryDocker('logs', 'rancher-agent');
      const log = stdout + stderr;
      return log.includes('only the socket of this host') && log.includes('it is ignored') ? true : undefined;
    });
    scene.server.setRequiredImage(images.b);
    await scene.host.docker('restart', 'rancher-agent');
    await scene.waitFor('the upgrade', async () =>
      (await scene.host.inspect('rancher-agent'))?.Config.Image === images.b ? true : undefined,
    );
    await scene.settled();
  });
});

describe('a socket in another place of the host', () => {
  const usual = (): string => scene.host.socketPath;
  const moved = (): string => usual().replace('docker.sock', 'docker-alt.sock');
  beforeEach(async () => rename(usual(), moved()));
  afterEach(async () => {
    await rename(moved(), usual());
    await scene.reset();
  });

  it.each([
    ['bound to the usual place', ['-v', `/var/run/docker-alt.sock:${socket}`], '/var/run/docker-alt.sock'],
    [
      'in a mounted folder, with DOCKER_HOST',
      ['-v', '/run:/host/run', '-e', 'DOCKER_HOST=unix:///host/run/docker-alt.sock'],
      '/run/docker-alt.sock',
    ],
  ])('%s: worker and agent get that one', async (_case, options, expected) => {
    const url = scene.server.registrationUrl;
    const result = await scene.host.tryDocker(
      'run',
      '--rm',
      '--privileged',
      ...options,
      ...quick,
      images.a,
      url,
    );
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(workerAsked().HostConfig.Binds[0]).toBe(`${expected}:${socket}`);
    await scene.settled();
    const binds = (await scene.host.inspect('rancher-agent'))?.HostConfig.Binds ?? [];
    expect(binds[0]).toBe(`${expected}:${socket}`);
    // Docker makes a folder where the source of a bind mount is missing.
    await expect(access(usual())).rejects.toThrow('ENOENT');
    scene.server.setRequiredImage(images.b);
    const upgrade = await scene.host.tryDocker(
      ...['run', '--rm', '--privileged', ...options, ...quick, images.b, 'upgrade', '--offline'],
    );
    expect(upgrade, upgrade.stderr).toMatchObject({ status: 0 });
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ image: images.b, state: 'running' });
  });
});

describe('a worker that was given the socket of another engine', () => {
  it('does nothing there, and exits with 78', async () => {
    const other = await startHost({ name: 'other', images: 'base' });
    try {
      const result = await scene.host.tryDocker(
        ...[
          'run',
          '--rm',
          '--privileged',
          '--net',
          'host',
          '--pid',
          'host',
          '-v',
          `${other.socketPath}:${socket}`,
        ],
        ...['-v', '/var/lib/rancher:/var/lib/rancher', '-e', `AGENT_TARGET_IMAGE=${images.a}`],
        ...[images.a, 'worker', 'upgrade'],
      );
      expect(result, result.stderr).toMatchObject({ status: 78 });
      expect(result.stderr).toContain('does not know the container of this worker');
      expect(other.proxy.requests.filter(({ method }) => method !== 'GET')).toEqual([]);
      expect(await scene.readStatus()).toMatchObject({ state: 'failed', cause: 'bad-configuration' });
    } finally {
      await other.stop();
    }
  });
});

describe('the folder of all containers on a file system of its own', () => {
  beforeAll(async () => {
    await scene.host.stopEngine();
    const containers = '/var/lib/docker/containers';
    await run('nsenter', [
      '-t',
      String(scene.host.initPid),
      '-m',
      'mount',
      '-t',
      'tmpfs',
      'tmpfs',
      containers,
    ]);
    await scene.host.startEngine();
  });

  it('hides no container from itself: the next agent is on standby, and one agent is active', async () => {
    await register();
    const result = await runIn([], images.b, 'upgrade');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(workerAsked().Image).toBe(images.b);
    const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
    expect(stdout + stderr).toContain('on standby as rancher-agent-next');
  });
});
