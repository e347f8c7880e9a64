import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { throwSwitch } from '../../support/server/stub/stub-switches.ts';
import { images, limits, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/*
 * Readiness in all three profiles, and on an engine of the incident: an image that cannot work and a server that does not answer
 * leave the old agent alone. The mended image is upgraded. Every row of the table runs in readiness.test.ts, for one profile.
 */
let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'readiness-profiles' });
});
afterEach(async () => {
  await scene.reset();
  await scene.server.heal();
});
afterAll(async () => scene.close());

interface Row {
  readonly first: string;
  readonly next: string;
  readonly agent: string;
  readonly others: readonly string[];
  readonly api?: string;
}

const rows: readonly (readonly [title: string, row: Row])[] = [
  [
    'profile rancher-1.0',
    { first: images.oldA, next: images.oldB, agent: 'rancher-agent', others: ['rancher-agent-state'] },
  ],
  [
    'profile pasturestack',
    { first: images.pastureA, next: images.pastureB, agent: 'pasturestack-node-agent', others: [] },
  ],
  [
    'profile rancher-1.2, engine of the incident (API 1.22)',
    { first: images.a, next: images.b, agent: 'rancher-agent', others: [], api: '1.22' },
  ],
];

const short = limits({ READY: 8_000, READY_REQUEST: 3_000, READY_RETRY_MIN: 500, READY_RETRY_MAX: 2_000 });

describe.each(rows)('%s', (_title, { first, next, agent, others, api }) => {
  async function register(): Promise<string> {
    if (api !== undefined) scene.host.proxy.pinApi(api);
    scene.server.setRequiredImage(first);
    const result = await scene.register(first);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.only(agent, ...others);
    return (await scene.host.inspect(agent))?.Id ?? '';
  }

  async function upgrade(image: string): Promise<{ readonly status: number; readonly stderr: string }> {
    scene.server.setRequiredImage(image);
    const name = `${agent}-upgrade`;
    await scene.host.tryDocker('rm', '-f', name);
    const result = await scene.host.tryDocker(
      ...['run', '--privileged', '--name', name, '-v', '/var/run/docker.sock:/var/run/docker.sock'],
      ...[...quick, ...short, image, 'upgrade'],
    );
    await scene.host.tryDocker('rm', '-f', name);
    return result;
  }

  async function expectUntouched(id: string): Promise<void> {
    await scene.only(agent, ...others);
    expect(await scene.host.inspect(agent)).toMatchObject({ Id: id, State: { Running: true } });
    expect(scene.host.proxy.count(({ path }) => path === `/containers/${id}/stop`)).toBe(0);
  }

  it('an image without bash fails, and the old agent is not touched', async () => {
    const id = await register();
    const context = join(import.meta.dirname, '../../support/images/bashless-image');
    const base = ['--build-arg', `BASE=${next}`];
    await scene.host.docker('build', '-q', '-t', `${next}-bashless`, ...base, context);
    const result = await upgrade(`${next}-bashless`);
    expect(result.status, result.stderr).toBe(73);
    expect(await scene.readStatus()).toMatchObject({ state: 'failed', cause: 'ready-programs-missing' });
    await expectUntouched(id);
  });

  it('a server that answers 503 defers the upgrade; when it answers again, the upgrade goes through', async () => {
    const id = await register();
    await throwSwitch(scene.server, 'any:status=503');
    const result = await upgrade(next);
    expect(result.status, result.stderr).toBe(75);
    expect(await scene.readStatus()).toMatchObject({ state: 'deferred', cause: 'ready-server-busy' });
    await expectUntouched(id);
    await scene.server.heal();
    const again = await upgrade(next);
    expect(again, again.stderr).toMatchObject({ status: 0 });
    await scene.only(agent, ...others);
    expect(await scene.host.inspect(agent)).toMatchObject({ Config: { Image: next } });
    expect(await scene.readStatus()).toMatchObject({ state: 'ok', exitCode: 0 });
  });
});
