import { mkdir, rm, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import { startPullScene, type PullScene } from '../../support/scenes/pull-scene.ts';
import { images, limits, quick, type Scene } from '../../support/scenes/scene.ts';

/**
 * `AGENT_IMAGES_ALLOWED`, on an engine that pulls from a registry. By itself the agent does not try again within a
 * test.
 */
const hasty = [...quick, ...limits({ ATTEMPT_PAUSE_MIN: 120_000 })];

let pulls: PullScene;
let scene: Scene;

beforeAll(async () => {
  pulls = await startPullScene({ name: 'images-allowed' }, hasty);
  ({ scene } = pulls);
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
});
afterEach(async () => {
  await rm(`${scene.host.stateDir}/etc/agent.conf`, { force: true });
  await scene.reset();
});
afterAll(async () => pulls.close());

async function allow(value: string): Promise<void> {
  await mkdir(`${scene.host.stateDir}/etc`, { recursive: true });
  // An agent gives its worker the limits of this file.
  const settings = [`AGENT_IMAGES_ALLOWED='${value}'`, ...hasty.filter((it) => it !== '-e')];
  await writeFile(
    `${scene.host.stateDir}/etc/agent.conf`,
    settings.map((setting) => `export ${setting}\n`).join(''),
  );
}

/** The server requires it of the agent, which asks when it begins. @returns the state of that kind */
async function require(image: string, state: 'failed' | 'ok'): Promise<Record<string, unknown>> {
  await writeFile(`${scene.host.stateDir}/entrypoint/status.json`, '');
  scene.server.setRequiredImage(image);
  await scene.host.docker('restart', '-t', '2', 'rancher-agent');
  return scene.waitFor(`${state} about ${image}`, async () => {
    const text = await scene.readStatusText();
    if (!text.includes(`"state": "${state}"`) && !text.includes(`"state":"${state}"`)) return undefined;
    const status = JSON.parse(text) as Record<string, unknown>;
    return status['target'] === image ? status : undefined;
  });
}

function requestsTo(pattern: RegExp): readonly string[] {
  return scene.host.proxy.requests
    .filter(({ method, path }) => method === 'POST' && pattern.test(path))
    .map(({ query }) => query['name'] ?? query['fromImage'] ?? '(none)');
}

async function digestOf(image: string): Promise<string> {
  const [address = '', ...rest] = image.split('/');
  const [name = '', tag = ''] = rest.join('/').split(':');
  const response = await fetch(`http://${address}/v2/${name}/manifests/${tag}`);
  return response.headers.get('docker-content-digest') ?? '';
}

it.each([
  [
    'a prefix that only looks alike',
    (image: string) => image.replace(/\/agent:.*/, '-other/'),
    77,
    'image-not-allowed',
  ],
  ['a value that is not understood', () => 'registry.corp/*', 78, 'bad-configuration'],
  ['an empty value', () => '', 78, 'bad-configuration'],
])(
  '%s refuses the image before a pull, and the agent keeps serving',
  async (_what, value, exitCode, cause) => {
    const [image] = pulls.images;
    await allow(value(image));
    const before = await scene.host.inspect('rancher-agent');
    const status = await require(image, 'failed');
    expect(status).toMatchObject({ state: 'failed', exitCode, cause, target: image });
    expect(requestsTo(/\/images\/create$/)).toEqual([]);
    expect(requestsTo(/\/containers\/create$/)).toEqual(['rancher-agent-worker']);
    const after = await scene.host.inspect('rancher-agent');
    expect(after).toMatchObject({ Id: before?.Id, State: { Running: true } });
    const asked = scene.server.requestsTo('bootstrap').length;
    expect(asked).toBeGreaterThan(0);
  },
);

it('a digest is compared after a pull by tag: another image is refused, and the right one is upgraded to', async () => {
  const [allowed, other] = pulls.images;
  const digest = await digestOf(allowed);
  await allow(`registry.corp/rancher/, ${digest}`);
  const before = await scene.host.inspect('rancher-agent');
  const status = await require(other, 'failed');
  expect(status).toMatchObject({ exitCode: 77, cause: 'image-not-allowed' });
  expect(status['summary']).toContain(await digestOf(other));
  expect(await scene.host.inspect('rancher-agent')).toMatchObject({
    Id: before?.Id,
    State: { Running: true },
  });
  expect(requestsTo(/\/containers\/create$/)).toEqual(['rancher-agent-worker']);

  expect(await require(allowed, 'ok')).toMatchObject({ state: 'ok' });
  await scene.settled();
  const after = await scene.host.inspect('rancher-agent');
  expect(after?.Config).toMatchObject({ Image: allowed });
});

it("the agent's own environment refuses an image to a person too, and the next agent inherits it", async () => {
  const [id, next] = await Promise.all(
    [images.a, images.b].map(async (image) =>
      scene.host.docker('image', 'inspect', '--format', '{{.Id}}', image),
    ),
  );
  const setting = 'AGENT_IMAGES_ALLOWED';
  const again = await scene.register(images.a, '-e', `${setting}=${id ?? ''}`);
  expect(again, again.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  const before = await scene.host.inspect('rancher-agent');
  const refused = await scene.upgrade(images.b);
  expect(refused).toMatchObject({ status: 77 });
  expect(refused.stderr).toContain(`the image ${images.b}`);
  expect(refused.stderr).toContain('the environment of the agent');
  expect((await scene.host.inspect('rancher-agent'))?.Id).toBe(before?.Id);

  await allow(next ?? '');
  const upgraded = await scene.upgrade(images.b);
  expect(upgraded, upgraded.stderr).toMatchObject({ status: 0 });
  expect((await scene.host.inspect('rancher-agent'))?.Config.Env).toContain(`${setting}=${id ?? ''}`);
});
