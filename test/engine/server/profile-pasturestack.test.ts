import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { bootstrapMarker } from '../../support/server/stub/stub-bootstrap.ts';
import { pinnedApi } from '../../support/host/engine-root.ts';
import { images } from '../../support/scenes/scene.ts';
import {
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

  it('asks for no cgroup namespace on an engine that has none', async () => {
    scene.host.proxy.pinApi('1.40');
    const result = await register(images.pastureA);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(cgroupNamespacesAsked('pasturestack-node-agent-next')).toEqual([undefined]);
  });

  it("replaces an agent with Rancher's name, and keeps its keys and its state volume", async () => {
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

  it('keeps names that a person chose, also when the agent itself starts the upgrade', async () => {
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

  it('upgrades to an image that is required by its digest, and then does nothing more', async () => {
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

  it('does not follow a server to another address, and registers nothing', async () => {
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
