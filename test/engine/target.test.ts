import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { images, startScene, type Scene } from '../support/scene.ts';

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

/** Image B with another version, under that name. */
async function makeImage(reference: string, version: string): Promise<void> {
  const id = await scene.host.docker('create', images.b, 'state');
  const label = `LABEL io.rancher.agent-entrypoint.version=${version}`;
  await scene.host.docker('commit', '--change', label, id, reference);
  await scene.host.docker('rm', id);
}

describe('the image that runs, required by another name', () => {
  const mirrored = 'mirror.example:5000/rancher/agent:v1.2.11';

  it("is reached when the server's script starts an upgrade: nothing is created or stopped", async () => {
    await scene.host.docker('tag', images.a, mirrored);
    const before = await scene.host.inspect('rancher-agent');
    const result = await scene.upgrade(mirrored);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stderr).toContain(`${mirrored} is another name of the same image`);
    expect(created()).toEqual(['rancher-agent-worker']);
    const after = await scene.host.inspect('rancher-agent');
    expect(after).toMatchObject({ Id: before?.Id, State: { StartedAt: before?.State.StartedAt } });
  });

  it("is reached for the agent's own decision: it doesn't even make a worker", async () => {
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

describe('the direction of an upgrade', () => {
  it.each([
    ['99.1.0', /^up from rancher\/agent:test-a to rancher\/agent:other \(\S+ to 99\.1\.0\)/],
    ['0.0.0-0', /^down from rancher\/agent:test-a to rancher\/agent:other \(\S+ to 0\.0\.0-0\)/],
  ])('to version %s is said in the log and in the state', async (version, expected) => {
    const other = 'rancher/agent:other';
    await makeImage(other, version);
    const result = await scene.upgrade(other);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(/^INFO: upgrading (.*)$/m.exec(result.stderr)?.[1]).toMatch(expected);
    const summary = String((await scene.readStatus())['summary']);
    expect(summary.split('; upgrading ')[1]).toMatch(expected);
  });
});
