import { execFile } from 'node:child_process';
import { link, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapMarker } from '../../support/server/stub/stub-bootstrap.ts';
import { pinnedApi } from '../../support/host/engine-root.ts';
import type { CommandResult } from '../../support/host/host.ts';
import { images, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };
const socket = '/var/run/docker.sock:/var/run/docker.sock';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'profiles', stub: { agents: [keys] } });
});
afterEach(async () => {
  Object.assign(scene.server.behaviour, { apiHost: undefined, agentsKnownByFallback: false });
  await scene.reset();
});
afterAll(async () => scene.close());

/** A container as it is in the table of contract §4: everything there that an engine can be asked for. */
async function look(name: string): Promise<Record<string, unknown>> {
  const found = await scene.host.inspect(name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  const host = found.HostConfig as unknown as Record<string, unknown>;
  const image = JSON.parse(
    await scene.host.docker('image', 'inspect', '-f', '{{json .Config.Env}}', found.Config.Image),
  ) as string[];
  return {
    command: [found.Path, ...found.Args],
    restart: found.HostConfig.RestartPolicy?.Name,
    network: host['NetworkMode'],
    pid: host['PidMode'],
    privileged: host['Privileged'],
    oomScoreAdjust: host['OomScoreAdj'],
    autoRemove: host['AutoRemove'],
    cgroupNamespace: host['CgroupnsMode'],
    binds: found.HostConfig.Binds,
    volumesFrom: found.HostConfig.VolumesFrom ?? [],
    environment: found.Config.Env.filter((entry) => !image.includes(entry)).sort(),
  };
}

function asOptions(environment: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
}

function asEntries(environment: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.entries(environment)
    .map(([name, value]) => `${name}=${value ?? ''}`)
    .sort();
}

/** What the contract lets through in any profile, one that only newer ones know, and one that nobody passes on. */
const given = {
  CATTLE_HOST_LABELS: 'zone=north&tier=db',
  CATTLE_AGENT_IP: '192.0.2.17',
  CATTLE_CHECK_NAMESERVER: 'false',
  CATTLE_CONFIG_URL: 'http://elsewhere.invalid/v1',
  NO_PROXY: '10.0.0.0/8',
};

/** What an agent has after a registration. */
function registered(): Record<string, string | undefined> {
  const last = scene.server.agents.at(-1);
  return {
    CATTLE_AGENT_PIDNS: 'host',
    CATTLE_HOST_LABELS: given.CATTLE_HOST_LABELS,
    CATTLE_AGENT_IP: given.CATTLE_AGENT_IP,
    NO_PROXY: given.NO_PROXY,
    no_proxy: given.NO_PROXY,
    CATTLE_URL: `${scene.server.url}/v1`,
    CATTLE_ACCESS_KEY: last?.accessKey,
    CATTLE_SECRET_KEY: last?.secretKey,
  };
}

/** Registers with a server that requires that very image, or its agent would be off to another one at once. */
async function register(image: string, ...options: readonly string[]): Promise<CommandResult> {
  return registerAt(scene.server.registrationUrl, image, ...options);
}

async function registerAt(url: string, image: string, ...options: readonly string[]): Promise<CommandResult> {
  scene.server.setRequiredImage(image);
  return scene.registerAt(url, image, ...options);
}

/** As a server's script starts an upgrade: with nothing but the socket. */
async function upgrade(name: string, image: string, ...options: readonly string[]): Promise<void> {
  scene.server.setRequiredImage(image);
  await scene.host.tryDocker('rm', '-f', name);
  const result = await scene.host.tryDocker(
    ...['run', '--privileged', '--name', name, '-v', socket],
    ...quick,
    ...options,
    image,
    'upgrade',
  );
  expect(result, result.stderr).toMatchObject({ status: 0 });
}

/** As upstream's script made agents, with `docker run`. */
const upstreamOptions = [
  ...['run', '-d', '--privileged', '--name', 'rancher-agent', '--restart=always', '--net=host', '--pid=host'],
  ...['-e', 'CATTLE_AGENT_PIDNS=host', '-v', socket, '-v', '/lib/modules:/lib/modules:ro'],
  ...['-v', '/proc:/host/proc', '-v', '/dev:/host/dev'],
];

function oldEnvironment(): Record<string, string> {
  return {
    CATTLE_URL: `${scene.server.url}/v1`,
    CATTLE_ACCESS_KEY: keys.accessKey,
    CATTLE_SECRET_KEY: keys.secretKey,
    CATTLE_HOST_LABELS: given.CATTLE_HOST_LABELS,
  };
}

async function mountOf(container: string, target: string): Promise<string | undefined> {
  const mounts = (await scene.host.inspect(container))?.Mounts ?? [];
  return mounts.find(({ Destination }) => Destination === target)?.Source;
}

/** As the engine was told, whatever its own default is. */
function cgroupNamespacesAsked(name: string): readonly unknown[] {
  return scene.host.proxy.requests
    .filter(({ path, query }) => path === '/containers/create' && query['name'] === name)
    .map(({ body }) => (body as { HostConfig: Record<string, unknown> }).HostConfig['CgroupnsMode']);
}

/** Gives an image a digest, as a pull from a registry does. */
async function nameByDigest(repository: string, digest: string, image: string): Promise<void> {
  const id = await scene.host.docker('image', 'inspect', '-f', '{{.Id}}', image);
  const file = join(scene.host.dockerRoot, 'image/overlay2/repositories.json');
  await scene.host.stopEngine();
  const known = JSON.parse(await readFile(file, 'utf8')) as { Repositories: Record<string, object> };
  known.Repositories[repository] = { ...known.Repositories[repository], [`${repository}@${digest}`]: id };
  // Not in place: the file may be linked from the template of all hosts.
  await writeFile(`${file}.new`, JSON.stringify(known));
  await rename(`${file}.new`, file);
  await scene.host.startEngine();
}

describe('profile rancher-1.0', () => {
  const contract = {
    command: ['/run.sh', 'run'],
    restart: 'always',
    network: 'host',
    pid: 'host',
    privileged: true,
    oomScoreAdjust: 0,
    autoRemove: false,
    volumesFrom: ['rancher-agent-state'],
    binds: [
      '/var/run/docker.sock:/var/run/docker.sock',
      '/lib/modules:/lib/modules:ro',
      '/var/lib/docker:/var/lib/docker',
      '/proc:/host/proc',
      '/dev:/host/dev',
    ],
  };

  it('registers and upgrades: the agent is what the contract says, with the state container of old', async () => {
    const result = await register(images.oldA, ...asOptions(given));
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.only('rancher-agent', 'rancher-agent-state');
    const environment = asEntries({ ...registered(), CATTLE_SYSTEMD: 'false' });
    expect(await look('rancher-agent')).toMatchObject({ ...contract, environment });

    const state = await scene.host.inspect('rancher-agent-state');
    expect(state).toMatchObject({
      Path: '/run.sh',
      Args: ['state'],
      Config: { Image: images.oldA, Volumes: { '/var/lib/cattle': {} } },
      HostConfig: {
        Binds: ['/var/log/rancher:/var/log/rancher', '/var/lib/rancher:/var/lib/rancher'],
        Privileged: false,
        RestartPolicy: { Name: 'no' },
      },
    });
    const cattle = await mountOf('rancher-agent-state', '/var/lib/cattle');
    expect(cattle).toMatch(/^\/var\/lib\/docker\/volumes\/[0-9a-f]{64}\/_data$/);

    await upgrade('rancher-agent-upgrade', images.oldB);
    await scene.only('rancher-agent', 'rancher-agent-state');
    expect(await look('rancher-agent')).toMatchObject({ ...contract, environment });
    expect((await scene.host.inspect('rancher-agent'))?.Config.Image).toBe(images.oldB);
    expect((await scene.host.inspect('rancher-agent-state'))?.Id).toBe(state?.Id);
    for (const target of ['/var/lib/cattle', '/var/log/rancher', '/var/lib/rancher']) {
      expect(await mountOf('rancher-agent', target), target).toBe(
        await mountOf('rancher-agent-state', target),
      );
    }
    expect(cgroupNamespacesAsked('rancher-agent-next')).toEqual([undefined, undefined]);
    expect(await scene.readStatus()).toMatchObject({ state: 'ok', target: images.oldB });
  });

  it("replaces an agent of upstream's script, with its keys, its state container and its volumes", async () => {
    await scene.host.docker(
      ...['run', '--name', 'rancher-agent-state', '-v', '/var/lib/cattle'],
      ...['-v', '/var/log/rancher:/var/log/rancher', '-v', '/var/lib/rancher:/var/lib/rancher'],
      images.upstream,
      'state',
    );
    await scene.host.docker(
      ...upstreamOptions,
      ...['-v', '/var/lib/docker:/var/lib/docker', '--volumes-from=rancher-agent-state'],
      ...asOptions(oldEnvironment()),
      images.upstream,
      'run',
    );
    const state = (await scene.host.inspect('rancher-agent-state'))?.Id;
    const cattle = await mountOf('rancher-agent', '/var/lib/cattle');
    await upgrade('rancher-agent-upgrade', images.oldB);
    await scene.only('rancher-agent', 'rancher-agent-state');
    expect(await look('rancher-agent')).toMatchObject({
      ...contract,
      environment: asEntries({ CATTLE_AGENT_PIDNS: 'host', CATTLE_SYSTEMD: 'false', ...oldEnvironment() }),
    });
    expect((await scene.host.inspect('rancher-agent-state'))?.Id).toBe(state);
    expect(await mountOf('rancher-agent', '/var/lib/cattle')).toBe(cattle);
  });

  it('takes localhost for this host, whoever says it, and the socket where the host has it', async () => {
    await link(scene.host.socketPath, scene.host.socketPath.replace('docker.sock', 'other.sock'));
    const { port, token } = scene.server;
    const { address, gateway, initPid } = scene.host;
    // The server is on this host, as far as anybody on it can tell.
    await promisify(execFile)('nsenter', [
      ...['-t', String(initPid), '-n', 'iptables', '-t', 'nat', '-I', 'OUTPUT', '-d', address, '-p', 'tcp'],
      ...['--dport', String(port), '-j', 'DNAT', '--to-destination', `${gateway}:${port}`],
    ]);
    scene.server.behaviour.apiHost = `http://localhost:${port}`;
    const url = `http://localhost:${port}/v1/scripts/${token}`;
    const result = await registerAt(url, images.oldA, '-e', 'HOST_DOCKER_SOCK=/run/other.sock');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.only('rancher-agent', 'rancher-agent-state');
    const agent = await scene.host.inspect('rancher-agent');
    expect(agent?.Config.Env).toContain(`CATTLE_URL=http://${address}:${port}/v1`);
    expect(agent?.Config.Env).toContain('HOST_DOCKER_SOCK=/run/other.sock');
    // As the server saw it: v1.0.x passes that on.
    expect(agent?.Config.Env).toContain(`CATTLE_AGENT_IP=${address}`);
    expect(agent?.HostConfig.Binds?.[0]).toBe('/run/other.sock:/var/run/docker.sock');
    const [worker] = scene.host.proxy.requests.filter(
      ({ query }) => query['name'] === 'rancher-agent-worker',
    );
    expect(JSON.stringify(worker?.body)).toContain('/run/other.sock:/var/run/docker.sock');
  });

  it.each(['before', 'after'] as const)(
    'a worker killed right %s the state container is made leaves one of it and one agent',
    async (when) => {
      scene.host.proxy.addRule({
        match: ({ path, query }) => path === '/containers/create' && query['name'] === 'rancher-agent-state',
        times: 1,
        action: {
          kind: 'call',
          when,
          run: async () => {
            await scene.host.docker('kill', 'rancher-agent-worker');
          },
        },
      });
      const result = await register(images.oldA);
      expect(result, result.stderr).toMatchObject({ status: 0 });
      expect(result.stderr).toContain('the worker was killed');
      await scene.only('rancher-agent', 'rancher-agent-state');
      const created = scene.host.proxy.requests.filter(
        ({ path, query, status }) =>
          path === '/containers/create' && query['name'] === 'rancher-agent-state' && status === 201,
      );
      expect(created).toHaveLength(1);
    },
  );

  it('lets go of the mounts of the agent that it replaces, which an old kernel would not remove otherwise', async () => {
    const result = await register(images.oldA);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const old = await scene.host.inspect('rancher-agent');
    // Its folder, as its own mounts and those of others call it.
    const layer = /overlay2\/([0-9a-f]{64})\/merged/.exec(JSON.stringify(old?.GraphDriver))?.[1] ?? 'none';
    const clones = async (container: string): Promise<number> =>
      Number(
        await scene.host.docker(
          'exec',
          container,
          'bash',
          '-c',
          `grep -c ${layer} /proc/self/mountinfo || true`,
        ),
      );
    let before = 0;
    scene.host.proxy.addRule({
      match: ({ path, userAgent }) => path.endsWith('/start') && userAgent.includes('(worker)'),
      times: 1,
      action: {
        kind: 'call',
        when: 'after',
        // A kernel of today takes a mount away with its mount point, wherever it was copied to. This copy stays, as all of
        // them did in the days of these agents.
        run: async () => {
          const copy = `/mnt/${layer}/merged`;
          const command = `mkdir -p ${copy} && mount --bind /var/lib/docker/overlay2/${layer}/merged ${copy}`;
          await scene.host.docker('exec', 'rancher-agent-next', 'bash', '-c', command);
          before = await clones('rancher-agent-next');
        },
      },
    });
    let after: number | undefined;
    scene.host.proxy.addRule({
      match: ({ method, path }) => method === 'DELETE' && path.endsWith(old?.Id ?? 'none'),
      times: 1,
      action: {
        kind: 'call',
        when: 'before',
        run: async () => {
          after = await clones('rancher-agent');
        },
      },
    });
    await upgrade('rancher-agent-upgrade', images.oldB);
    expect(before).toBeGreaterThan(0);
    expect(after).toBe(0);
  });
});

describe('profile pasturestack', () => {
  const contract = (volume: string): Record<string, unknown> => ({
    command: ['/run.sh', 'run'],
    restart: 'always',
    network: 'host',
    pid: 'host',
    privileged: true,
    oomScoreAdjust: -500,
    autoRemove: false,
    cgroupNamespace: 'host',
    volumesFrom: [],
    binds: [
      '/var/run/docker.sock:/var/run/docker.sock',
      '/var/run/rancher/storage:/var/run/rancher/storage',
      '/lib/modules:/lib/modules:ro',
      '/proc:/host/proc',
      '/dev:/host/dev',
      'rancher-cni:/.r',
      `${volume}:/var/lib/cattle`,
      '/var/lib/rancher:/var/lib/rancher',
    ],
  });

  it('registers and upgrades: the agent is what the contract says, under its own names', async () => {
    // Its server knows agents only without our header (control-plane §8): that is no revoked key.
    scene.server.behaviour.agentsKnownByFallback = true;
    const result = await register(images.pastureA, ...asOptions(given));
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.only('pasturestack-node-agent');
    const environment = asEntries({
      ...registered(),
      CATTLE_CHECK_NAMESERVER: given.CATTLE_CHECK_NAMESERVER,
    });
    const expected = { ...contract('pasturestack-node-agent-state'), environment };
    expect(await look('pasturestack-node-agent')).toMatchObject(expected);

    await upgrade('pasturestack-node-agent-upgrade', images.pastureB);
    await scene.only('pasturestack-node-agent');
    expect(await look('pasturestack-node-agent')).toMatchObject(expected);
    expect((await scene.host.inspect('pasturestack-node-agent'))?.Config.Image).toBe(images.pastureB);
    // Engines below 1.41 know none.
    const namespace = pinnedApi() === undefined ? 'host' : undefined;
    expect(cgroupNamespacesAsked('pasturestack-node-agent-next')).toEqual([namespace, namespace]);
    expect(await scene.readStatus()).toMatchObject({ state: 'ok', target: images.pastureB });
  });

  it('on an engine that knows no cgroup namespaces, does not ask for one', async () => {
    scene.host.proxy.pinApi('1.40');
    const result = await register(images.pastureA);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(cgroupNamespacesAsked('pasturestack-node-agent-next')).toEqual([undefined]);
  });

  it("replaces an agent of Rancher's name, with its keys, and goes on with its state volume", async () => {
    await scene.host.docker('volume', 'create', 'rancher-agent-state');
    await scene.host.docker(
      ...upstreamOptions,
      ...['-v', 'rancher-agent-state:/var/lib/cattle', '-v', '/var/lib/rancher:/var/lib/rancher'],
      ...asOptions(oldEnvironment()),
      images.upstream,
      'run',
    );
    // The server's script of these hosts may know the older name only.
    await upgrade('rancher-agent-upgrade', images.pastureB);
    await scene.only('pasturestack-node-agent');
    expect(await look('pasturestack-node-agent')).toMatchObject({
      ...contract('rancher-agent-state'),
      environment: asEntries({ CATTLE_AGENT_PIDNS: 'host', ...oldEnvironment() }),
    });
  });

  it('keeps names that a person chose, also when the agent is upgraded by its own decision', async () => {
    const names = {
      PASTURESTACK_AGENT_CONTAINER_NAME: 'edge-agent',
      PASTURESTACK_AGENT_STATE_VOLUME: 'edge-state',
    };
    const result = await register(images.pastureA, ...asOptions(names));
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.only('edge-agent');
    const before = await look('edge-agent');
    expect(before).toMatchObject({
      binds: expect.arrayContaining(['edge-state:/var/lib/cattle']) as unknown,
    });
    expect(JSON.stringify(before['environment'])).not.toContain('PASTURESTACK');
    scene.server.setRequiredImage(images.pastureB);
    await scene.host.docker('restart', '-t', '2', 'edge-agent');
    await scene.waitFor('the new agent', async () =>
      (await scene.host.inspect('edge-agent'))?.Config.Image === images.pastureB ? true : undefined,
    );
    await scene.only('edge-agent');
    expect(await look('edge-agent')).toEqual(before);
  });

  it('goes to an image that is required by its digest, and is content with it', async () => {
    const repository = 'ghcr.io/pasturestack/node-agent';
    const required = `${repository}:v1.2.31@sha256:${'d'.repeat(64)}`;
    await nameByDigest(repository, required.split('@')[1] ?? '', images.pastureB);
    const result = await register(images.pastureA);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.only('pasturestack-node-agent');

    scene.server.setRequiredImage(required);
    await scene.host.docker('restart', '-t', '2', 'pasturestack-node-agent');
    await scene.waitFor('the new agent', async () =>
      (await scene.host.inspect('pasturestack-node-agent'))?.Config.Image === required ? true : undefined,
    );
    await scene.only('pasturestack-node-agent');
    const agent = await scene.host.inspect('pasturestack-node-agent');
    expect(agent?.Image).toBe(await scene.host.docker('image', 'inspect', '-f', '{{.Id}}', images.pastureB));

    // A bootstrap that runs is behind the decision on its image.
    const bootstraps = async (count: number): Promise<unknown> =>
      scene.waitFor(`bootstrap ${count}`, async () => {
        const { stdout } = await scene.host.tryDocker('logs', 'pasturestack-node-agent');
        return stdout.split(bootstrapMarker).length > count ? true : undefined;
      });
    await bootstraps(1);
    await scene.host.proxy.reset();
    // Then by the name that is there for the same image.
    for (const [index, image] of [required, images.pastureB, images.pastureB].entries()) {
      scene.server.setRequiredImage(image);
      await scene.host.docker('restart', '-t', '2', 'pasturestack-node-agent');
      await bootstraps(index + 2);
    }
    expect(scene.host.proxy.count(({ path }) => path === '/containers/create')).toBe(0);
    expect((await scene.host.inspect('pasturestack-node-agent'))?.Id).toBe(agent?.Id);
  });

  it('follows no server to another address: nothing is registered there, or at all', async () => {
    scene.server.behaviour.apiHost = 'http://elsewhere.invalid:8080';
    const before = scene.server.registrations.length;
    // The newer API's URLs are not compared in the other profiles.
    const url = scene.server.registrationUrl.replace('/v1/', '/v2-beta/projects/1a5/');
    const result = await registerAt(url, images.pastureA);
    expect(result, result.stderr).toMatchObject({ status: 78 });
    expect(result.stderr).toContain('which is not the server that was asked');
    expect(scene.server.registrations).toHaveLength(before);
    await scene.only();
  });
});

it('an agent whose server requires an image of another family goes on as that family makes agents', async () => {
  const result = await register(images.oldA, '-e', `CATTLE_HOST_LABELS=${given.CATTLE_HOST_LABELS}`);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.only('rancher-agent', 'rancher-agent-state');
  const { accessKey } = scene.server.agents.at(-1) ?? keys;

  scene.server.setRequiredImage(images.b);
  await scene.host.docker('restart', '-t', '2', 'rancher-agent');
  const newer = await scene.waitFor('an agent of 1.2', async () => {
    const found = await scene.host.inspect('rancher-agent');
    return found?.Config.Image === images.b ? found : undefined;
  });
  expect(newer.HostConfig.Binds).toContain('rancher-agent-state:/var/lib/cattle');
  expect(newer.HostConfig).toMatchObject({ OomScoreAdj: -500, VolumesFrom: null });
  await scene.only('rancher-agent', 'rancher-agent-state');

  scene.server.setRequiredImage(images.pastureB);
  await scene.host.docker('restart', '-t', '2', 'rancher-agent');
  await scene.only('pasturestack-node-agent', 'rancher-agent-state');
  const newest = await scene.host.inspect('pasturestack-node-agent');
  expect(newest?.Config.Image).toBe(images.pastureB);
  expect(newest?.HostConfig.Binds).toContain('rancher-agent-state:/var/lib/cattle');
  expect(newest?.Config.Env).toContain(`CATTLE_ACCESS_KEY=${accessKey}`);
  expect(newest?.Config.Env).toContain(`CATTLE_HOST_LABELS=${given.CATTLE_HOST_LABELS}`);
});
