import { execFile } from 'node:child_process';
import { link } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { images } from '../../support/scenes/scene.ts';
import {
  keys,
  scene,
  stageHost,
  look,
  asOptions,
  asEntries,
  given,
  registered,
  register,
  registerAt,
  upgrade,
  upstreamOptions,
  oldEnvironment,
  cgroupNamespacesAsked,
} from './profile-stage.ts';

stageHost();

async function mountOf(container: string, target: string): Promise<string | undefined> {
  const mounts = (await scene.host.inspect(container))?.Mounts ?? [];
  return mounts.find(({ Destination }) => Destination === target)?.Source;
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

  it('registers and upgrades: the agent is what the contract says, with a state container', async () => {
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

  it('replaces localhost in the address of the server, and mounts the socket from where the host has it', async () => {
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

  it('releases the mounts of the agent that it replaces, because an old kernel could not remove it otherwise', async () => {
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
        // A kernel of today takes a mount away with its mount point, wherever it was copied to. This copy stays, as all
        // of them did in the days of these agents.
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

it('an agent whose server requires an image of another profile becomes an agent of that profile', async () => {
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
