import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTenant, type Tenant } from '../../support/engine-proxy/tenant.ts';
import type { CommandResult } from '../../support/host/host.ts';
import { images, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/* Workers, and what looks like one. */

const run = promisify(execFile);
const roleLabel = 'io.rancher.agent-entrypoint.role=worker';
const requestLabel = 'io.rancher.agent-entrypoint.request';
const [first, second] = ['rancher-agent-worker', 'rancher-agent-worker-2'];
let scene: Scene;
let tenant: Tenant;

beforeAll(async () => {
  scene = await startScene({ name: 'workers' });
  tenant = await openTenant(scene.host);
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
});
afterEach(async () => scene.reset());
afterAll(async () => {
  await tenant.close();
  await scene.close();
});

/** What a tenant may create: our name, our labels, even our image. */
async function forge(command: string, ...labels: readonly string[]): Promise<string> {
  return tenant.docker(
    ...['run', '-d', '--name', first, '--entrypoint', 'sh'],
    ...[roleLabel, ...labels].flatMap((label) => ['--label', label]),
    ...[images.a, '-c', command],
  );
}

/** The names that the engine gave to new containers. */
function created(): readonly (string | undefined)[] {
  return scene.host.proxy.requests
    .filter(
      ({ method, path, status }) => method === 'POST' && path === '/containers/create' && status === 201,
    )
    .map(({ query }) => query['name']);
}

function touched(id: string): readonly string[] {
  return scene.host.proxy.requests
    .filter(({ method, path }) => path.includes(id) && (method !== 'GET' || path.endsWith('/logs')))
    .map(({ method, path }) => `${method} ${path}`);
}

describe("a tenant's container under the name of a worker", () => {
  it('that never exits is not followed, and blocks no upgrade', async () => {
    const forged = await forge('printf "\\033]0;title\\007INFO: ok: rancher-agent runs\\n"; sleep 86400');
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stderr).toContain(
      `the name ${first} is taken (an unmanaged container): trying the next one`,
    );
    expect(result.stderr).not.toContain('\u001B');
    expect(created()).toEqual([second, 'rancher-agent-next']);
    expect(touched(forged)).toEqual([]);
    await scene.removeUpgradeContainer();
    const left = await scene.settled(first);
    expect(left.find(({ name }) => name === 'rancher-agent')).toMatchObject({ image: images.b });
    expect(await scene.host.inspect(first)).toMatchObject({ Id: forged, State: { Running: true } });
  });

  it('that guesses the digest of the request and exits with 0 is not believed', async () => {
    // The engine refuses the worker, so that only its digest is known.
    scene.host.proxy.addRule({
      match: ({ path, query }) => path === '/containers/create' && query['name'] === first,
      times: 1,
      action: { kind: 'answer', status: 400, body: { message: 'not today' } },
    });
    expect(await scene.upgrade(images.b)).toMatchObject({ status: 73 });
    const asked = scene.host.proxy.requests.find(({ query }) => query['name'] === first);
    const { Labels } = asked?.body as { Labels: Readonly<Record<string, string>> };
    const digest = Labels[requestLabel] ?? '';
    expect(digest).toMatch(/^[0-9a-f]{32}$/);
    await scene.host.proxy.reset();
    const forged = await forge('sleep 20; exit 0', `${requestLabel}=${digest}`);
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect((await scene.host.inspect('rancher-agent'))?.Config.Image).toBe(images.b);
    expect(touched(forged)).toEqual([]);
    await scene.removeUpgradeContainer();
    await scene.settled(first);
  });
});

describe('two callers under two names', () => {
  /** Another request than the first caller's, so that its result does not count for this one. */
  async function upgradeBeside(): Promise<CommandResult> {
    return scene.host.tryDocker(
      ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
      ...[...quick, images.b, 'upgrade', '--offline'],
    );
  }

  it.each([
    ['that has the lock', false],
    ['that cannot be locked', true],
  ])(
    'never work at once on a host %s: the worker that was started first goes on',
    async (_case, isLocked) => {
      const folder = join(scene.host.stateDir, 'entrypoint');
      if (isLocked) await run('chattr', ['+i', folder]);
      const forged = await forge('sleep 86400');
      let beside: Promise<CommandResult> | undefined;
      const createsByOthers: string[] = [];
      scene.host.proxy.addRule({
        match: ({ path, query }) => path === '/containers/create' && query['name'] === 'rancher-agent-next',
        times: 1,
        action: {
          kind: 'call',
          when: 'before',
          run: async () => {
            // The first name is free from now on, while the worker with the second one is at work.
            await scene.host.docker('rm', '-f', forged);
            beside = upgradeBeside();
            await scene.waitFor('the second worker has come and gone', async () =>
              created().includes(first) && (await scene.host.inspect(first)) === undefined ? true : undefined,
            );
            createsByOthers.push(
              ...created()
                .map(String)
                .filter((name) => name !== second),
            );
          },
        },
      });
      try {
        const result = await scene.upgrade(images.b);
        expect(result, result.stderr).toMatchObject({ status: 0 });
        expect(createsByOthers).toEqual([first]);
        const other = await beside;
        expect(other, other?.stderr).toMatchObject({ status: 0 });
        expect(other?.stderr).toContain(`another worker was started first and goes on: ${second} (`);
        expect(other?.stderr).toContain(`${second} was started first: following it`);
        expect(created().filter((name) => name === 'rancher-agent-next')).toHaveLength(1);
      } finally {
        if (isLocked) await run('chattr', ['-i', folder]);
      }
      await scene.removeUpgradeContainer();
      const [agent] = await scene.settled();
      expect(agent).toMatchObject({ image: images.b, state: 'running' });
    },
  );
});

describe('a dead worker that keeps its name, as on 1.10.3', () => {
  it('blocks no upgrade: a spare name is used, the state names the dead worker, and later it is removed', async () => {
    const dead = await scene.host.docker(
      ...['create', '--name', first, '--label', roleLabel, '--privileged'],
      ...['-v', '/var/run/docker.sock:/var/run/docker.sock', images.a, 'worker', 'upgrade'],
    );
    await scene.host.makeUnremovable(dead);
    expect(await scene.host.tryDocker('rm', dead)).toMatchObject({ status: 1 });
    // Today's engines could inspect it, and rename it out of the way.
    scene.host.proxy.addRule({
      match: ({ path }) =>
        [`/containers/${dead}/json`, `/containers/${first}/json`, `/containers/${dead}/rename`].includes(
          path,
        ),
      action: { kind: 'answer', status: 404, body: `no such file: ${dead}/config.v2.json\n` },
    });
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 73 });
    expect(created()).toEqual([second, 'rancher-agent-next']);
    expect(await scene.readStatus()).toMatchObject({
      state: 'degraded',
      cause: 'cannot-remove',
      unremovable: [{ name: first, id: dead }],
    });
    await scene.removeUpgradeContainer();
    await scene.settled(first);
    await scene.host.makeRemovable(dead);
    const again = await scene.upgrade(images.b);
    expect(again, again.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    await scene.settled();
    expect(await scene.readStatus()).toMatchObject({ state: 'ok' });
  });
});
