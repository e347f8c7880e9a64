import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { images, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

let scene: Scene;
let unmanaged: string;

beforeAll(async () => {
  scene = await startScene({ name: 'foreign' });
});
beforeEach(async () => {
  await scene.host.docker('tag', images.base, 'mycompany/web:1');
  unmanaged = await startUnmanaged();
  await scene.host.proxy.reset();
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

/** Somebody's own container, which happens to be named as the agent and even has variables like it. */
async function startUnmanaged(): Promise<string> {
  return scene.host.docker(
    ...['run', '-d', '--name', 'rancher-agent', '--restart', 'always'],
    ...['-e', 'CATTLE_ACCESS_KEY=notours', '-e', 'CATTLE_SECRET_KEY=notours', '-e', 'CATTLE_URL=http://x'],
    ...['mycompany/web:1', 'sleep', '86400'],
  );
}

async function register(...words: readonly string[]): ReturnType<Scene['register']> {
  return scene.host.tryDocker(
    ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock', ...quick],
    ...[images.a, ...words],
  );
}

async function expectUntouched(): Promise<void> {
  expect(await scene.host.inspect('rancher-agent')).toMatchObject({
    Id: unmanaged,
    State: { Running: true },
    HostConfig: { RestartPolicy: { Name: 'always' } },
  });
  expect(await scene.names()).toEqual(['rancher-agent']);
  const touched = scene.host.proxy.requests.filter(
    ({ method, path }) => method !== 'GET' && path.includes(unmanaged),
  );
  expect(touched).toEqual([]);
}

describe("somebody's container named rancher-agent", () => {
  it('stops a registration before the server hears of it, and says how to go on', async () => {
    const before = scene.server.registrations.length;
    const result = await register(scene.server.registrationUrl);
    expect(result, result.stderr).toMatchObject({ status: 73 });
    expect(result.stderr).toMatch(
      /rancher-agent \([0-9a-f]{12}, mycompany\/web:1\) has one of our names but is not/,
    );
    expect(result.stderr).toContain('--force');
    expect(scene.server.registrations).toHaveLength(before);
    expect(await scene.readStatus()).toMatchObject({
      state: 'failed',
      exitCode: 73,
      cause: 'role-name-taken',
    });
    await expectUntouched();
  });

  it('stops an upgrade, which doesn’t take its keys either', async () => {
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 73 });
    await scene.removeUpgradeContainer();
    await expectUntouched();
  });

  it('is not what an upgrade with --force makes an agent from: there are no keys of ours', async () => {
    const result = await scene.host.tryDocker(
      ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock', ...quick],
      ...[images.b, 'upgrade', '--force'],
    );
    expect(result, result.stderr).toMatchObject({ status: 78 });
    expect(result.stderr).toContain('there is no agent on this host to upgrade');
    await expectUntouched();
  });

  it('is replaced by a registration with --force, and goes when the new agent runs', async () => {
    const result = await register(scene.server.registrationUrl, '--force');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ image: images.a, state: 'running' });
    const environment = (await scene.host.inspect('rancher-agent'))?.Config.Env ?? [];
    expect(environment.join(' ')).not.toContain('notours');
    expect(environment.some((entry) => entry.startsWith('CATTLE_SECRET_KEY='))).toBe(true);
    const changes = scene.host.proxy.requests.filter(({ method }) => method !== 'GET');
    const indexOf = (end: string): number => changes.findIndex(({ path }) => path.endsWith(end));
    expect(indexOf(`${agent?.id ?? ''}/start`)).toBeGreaterThan(-1);
    expect(indexOf(`${agent?.id ?? ''}/start`)).toBeLessThan(indexOf(`${unmanaged}/stop`));
  });
});

describe('a registration that somebody started as rancher-agent', () => {
  it('does not stop itself, and says what to type', async () => {
    await scene.host.docker('rm', '-f', 'rancher-agent');
    const result = await scene.host.tryDocker(
      ...['run', '--name', 'rancher-agent', '--privileged', '-v'],
      ...['/var/run/docker.sock:/var/run/docker.sock', ...quick, images.a, scene.server.registrationUrl],
    );
    expect(result, result.stderr).toMatchObject({ status: 73 });
    expect(result.stderr).toContain('is the container that runs this command');
    expect(result.stderr).toContain('start it under another name than rancher-agent');
    expect(await scene.names()).toEqual(['rancher-agent']);
  });
});
