import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'target' });
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

function created(): readonly string[] {
  return scene.host.proxy.requests
    .filter(({ method, path }) => method === 'POST' && path.endsWith('/containers/create'))
    .map(({ query }) => query['name'] ?? '(generated)');
}

describe('the image that runs, required by another name', () => {
  const mirrored = 'mirror.example:5000/rancher/agent:v1.2.11';

  it("is accepted when the server's script starts an upgrade: no agent is created or stopped", async () => {
    await scene.host.docker('tag', images.a, mirrored);
    const before = await scene.host.inspect('rancher-agent');
    const result = await scene.upgrade(mirrored);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stderr).toContain(`${mirrored} is another name of the same image`);
    expect(created()).toEqual(['rancher-agent-worker']);
    const after = await scene.host.inspect('rancher-agent');
    expect(after).toMatchObject({ Id: before?.Id, State: { StartedAt: before?.State.StartedAt } });
  });

  it('is accepted by the agent itself, which does not even create a worker', async () => {
    await scene.host.docker('tag', images.a, mirrored);
    scene.server.setRequiredImage(mirrored);
    const asked = scene.server.requestsTo('bootstrap').length;
    const again = async (count: number): Promise<true> =>
      scene.waitFor(`bootstrap ${count}`, () =>
        Promise.resolve(scene.server.requestsTo('bootstrap').length >= asked + count ? true : undefined),
      );
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    await again(1);
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    await again(2);
    expect(created()).toEqual([]);
  });
});

describe('an upgrade to another image', () => {
  it('reports in the log and in the state the image before and the image after', async () => {
    const other = 'rancher/agent:other';
    await scene.host.docker('tag', images.b, other);
    const result = await scene.upgrade(other);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const change = `upgrading from ${images.a} to ${other}`;
    expect(result.stderr).toContain(change);
    expect((await scene.readStatus())['summary']).toContain(change);
  });
});

describe('an image in a registry that requires a login', () => {
  const password = 'open sesame 42';
  const login = Buffer.from(`ops:${password}`).toString('base64');

  /** Lets nobody in without the login, and has no images. @returns its address, and what it was shown */
  async function startRegistry() {
    const shown: string[] = [];
    const registry = createServer(({ headers, url = '' }, response) => {
      const { authorization = '' } = headers;
      if (authorization !== `Basic ${login}`) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
        return;
      }
      shown.push(url);
      response.writeHead(url === '/v2/' ? 200 : 404, { 'content-type': 'application/json' });
      response.end(
        url === '/v2/' ? '{}' : '{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}',
      );
    }).listen(0, scene.host.gateway);
    await once(registry, 'listening');
    const { port } = registry.address() as AddressInfo;
    return { address: `${scene.host.gateway}:${port}`, shown, close: () => registry.close() };
  }

  /** The server requires it of an agent that starts again. @returns what became of it */
  async function require(image: string): Promise<string> {
    await writeFile(`${scene.host.stateDir}/entrypoint/status.json`, '');
    scene.server.setRequiredImage(image);
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    return scene.waitFor('the failure', async () => {
      const text = await scene.readStatusText();
      return text.includes('"failed"') ? text : undefined;
    });
  }

  it('is pulled with the credentials that agent.conf names, and no output shows the password', async () => {
    const registry = await startRegistry();
    try {
      const image = `${registry.address}/rancher/agent:v9`;
      expect(await require(image)).toContain('no basic auth credentials');
      expect(registry.shown).toEqual([]);

      // As the runbook says.
      const folder = `${scene.host.stateDir}/etc/docker`;
      await scene.host.docker('--config', folder, 'login', '-u', 'ops', '-p', password, registry.address);
      await writeFile(
        `${scene.host.stateDir}/etc/agent.conf`,
        'export DOCKER_CONFIG=/var/lib/rancher/etc/docker\nexport AGENT_LIMIT_ATTEMPT_PAUSE_MIN=100\n',
      );
      const status = await require(image);
      expect(status).toContain('manifest unknown');
      expect(registry.shown).toContain('/v2/rancher/agent/manifests/v9');
      const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
      expect(stderr).toContain(`credentials=${registry.address}`);
      for (const secret of [password, login]) expect(`${status}${stdout}${stderr}`).not.toContain(secret);
      expect(await scene.names()).toContain('rancher-agent');
    } finally {
      registry.close();
    }
  });
});
