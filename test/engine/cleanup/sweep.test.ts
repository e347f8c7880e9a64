import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { callEngine } from '../../support/host/engine-call.ts';
import { bootstrapMarker } from '../../support/server/stub/stub-bootstrap.ts';
import { makeLeak, shareMnt, type Leak } from '../../support/scenes/leak-maker.ts';
import { images, limits, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };
const system = 'io.rancher.container.system';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'sweep', stub: { agents: [keys] } });
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

const findGateway = ['--', 'ip', 'route', 'get', '8.8.8.8'];

/** A helper as the legacy script leaves it, but for the parts given. */
async function make(parts: Partial<Leak> = {}): Promise<string> {
  return makeLeak(scene.host.engineSocketPath, { image: images.a, ...parts });
}

/** Sixty of them in the order they leaked: created or exited, and a few of an image whose tag has moved since. */
async function leakSixty(): Promise<readonly string[]> {
  await scene.host.docker('tag', images.a, 'rancher/agent:moved');
  const leaked: string[] = [];
  for (let index = 0; index < 60; index += 1) {
    const command =
      index % 4 === 3 ? { command: shareMnt } : index % 12 === 5 ? { command: findGateway } : {};
    const image = index % 20 === 7 ? { image: 'rancher/agent:moved' } : {};
    leaked.push(await make({ ...command, ...image, start: index % 15 === 0 }));
  }
  await scene.host.docker('tag', images.b, 'rancher/agent:moved');
  return leaked;
}

/** What looks like a leaked helper in all but one respect. */
async function createBystanders(): Promise<readonly string[]> {
  await scene.host.docker('tag', images.base, 'notrancher/agent:v1.0.2');
  const foreign = { image: images.base, entrypoint: '/run.sh' };
  const forGood = await longRunning();
  const bystanders = [
    await make({ command: ['state'], start: true }),
    await make({ command: ['upgrade'] }),
    await make({ command: ['run'] }),
    await make({ command: ['inspect-host', '--debug'] }),
    await make({ command: [...shareMnt.slice(0, -1), 'kubelet'] }),
    await make({ command: ['--', 'true'], start: true }),
    await make({ entrypoint: '/bin/true' }),
    await make(foreign),
    await make({ ...foreign, image: 'notrancher/agent:v1.0.2' }),
    await make({ ...foreign, labels: { [system]: 'NetworkAgent' } }),
    await make({ ...foreign, name: 'rancher-agent-upgrade-2' }),
    await make({ labels: { 'io.rancher.agent-entrypoint.role': 'worker' } }),
    await make({ name: 'inspect-by-hand' }),
    await make({ restart: 'always' }),
    await make({ binds: forGood, start: true }),
    await make({ binds: forGood, start: true }),
  ];
  await scene.host.docker('pause', bystanders.at(-1) ?? '');
  return bystanders;
}

/** What makes an `inspect-host` that never ends. */
async function longRunning(): Promise<readonly string[]> {
  const script = join(scene.host.stateDir, 'sleeper.sh');
  await writeFile(script, '#!/bin/sh\nexec sleep 3600\n');
  await chmod(script, 0o755);
  return ['/var/lib/rancher/sleeper.sh:/run.sh'];
}

/** Those of the given containers that are still there. */
async function present(ids: readonly string[]): Promise<readonly string[]> {
  const there = new Set((await scene.host.containers()).map(({ id }) => id));
  return ids.filter((id) => there.has(id));
}

async function startAgent(...options: readonly string[]): Promise<void> {
  await scene.host.docker(
    ...['run', '-d', '--name', 'rancher-agent', '--restart', 'always', '--privileged'],
    ...['--net', 'host', '--pid', 'host', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...['-v', '/proc:/host/proc', '-v', '/dev:/host/dev', '-v', '/var/lib/rancher:/var/lib/rancher'],
    ...['-e', `CATTLE_URL=${scene.server.url}/v1`],
    ...['-e', `CATTLE_ACCESS_KEY=${keys.accessKey}`, '-e', `CATTLE_SECRET_KEY=${keys.secretKey}`],
    ...quick,
    ...options,
    images.a,
    'run',
  );
}

async function logSays(text: string): Promise<string> {
  return scene.waitFor(`the log says ${text}`, async () => {
    const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
    return (stdout + stderr).includes(text) ? stdout + stderr : undefined;
  });
}

/** The removals that one command asked the engine for. */
function removalsBy(command: string) {
  return scene.host.proxy.requests.filter(
    ({ method, userAgent }) => method === 'DELETE' && userAgent.includes(`(${command})`),
  );
}

/** Lists that could be of thousands of containers: not by name. */
function longListsBy(command: string) {
  return scene.host.proxy.requests.filter(
    ({ path, query, userAgent }) =>
      path.endsWith('/containers/json') &&
      userAgent.includes(`(${command})`) &&
      !(query['filters'] ?? '').includes('"name"'),
  );
}

/**
 * Old enough at once, since the containers of a test have just been made; and the replacement is not the subject here.
 */
const atOnce = { SWEEP_AGE: 0, STANDBY: 200, VERIFY: 500, VERIFY_POLL: 250 };

describe.each([
  ['an engine of today', undefined],
  ['an engine of the incident (API 1.22)', '1.22'],
])('on %s, leaked helpers of the legacy entrypoint', (_title, api) => {
  it('are removed by registration, upgrade and run, the oldest first, up to a limit per start, and nothing else is removed', async () => {
    scene.host.proxy.pinApi(api);
    const bystanders = await createBystanders();
    const leaked = await leakSixty();

    const registration = await scene.register(images.a, ...limits({ ...atOnce, SWEEP_COUNT: 25 }));
    expect(registration, registration.stderr).toMatchObject({ status: 0 });
    expect(registration.stderr).toContain(
      'removed 25 leaked helpers of the legacy entrypoint, 35 left; the next start goes on',
    );
    expect(await present(leaked)).toEqual(leaked.slice(25));
    expect(longListsBy('worker')).toHaveLength(1);
    const removals = removalsBy('worker').filter(({ path }) => leaked.some((id) => path.includes(id)));
    expect(removals).toHaveLength(25);
    for (const [index, { query, at }] of removals.entries()) {
      expect(query).not.toHaveProperty('force');
      expect(at).toBeGreaterThanOrEqual(removals[index - 1]?.endedAt ?? 0);
    }

    const upgrade = await scene.upgrade(images.b, ...limits({ ...atOnce, SWEEP_COUNT: 20 }));
    expect(upgrade, upgrade.stderr).toMatchObject({ status: 0 });
    expect(upgrade.stderr).toContain('removed 20 leaked helpers of the legacy entrypoint, 15 left');
    // The agents of these two have looked as well, and left them: an older upgrade may be at work with any so young.
    await scene.waitFor('the list of both agents', async () =>
      Promise.resolve(longListsBy('sweep').length >= 2 ? true : undefined),
    );
    expect(await present(leaked)).toEqual(leaked.slice(45));
    expect(await scene.readStatus()).toMatchObject({ state: 'ok', target: images.b });
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Config: { Image: images.b },
      State: { Running: true },
    });

    scene.server.setRequiredImage(images.a);
    await scene.host.docker('rm', '-f', 'rancher-agent');
    await startAgent(...limits(atOnce));
    await logSays('removed 15 leaked helpers of the legacy entrypoint, none left');
    expect(await present(leaked)).toEqual([]);
    expect(await present(bystanders)).toEqual(bystanders);
  });
});

describe('leaked helpers that cannot be removed', () => {
  it('are reported, stop neither the agent nor the removal of the others, and are removed in the end', async () => {
    const sick = [await make(), await make({ start: true }), await make()];
    const others = [await make(), await make(), await make()];
    for (const id of sick) await scene.host.makeUnremovable(id);

    const first = await scene.register(images.a, ...limits(atOnce));
    expect(first, first.stderr).toMatchObject({ status: 0 });
    expect(first.stderr).toMatch(
      /WARN: removed 0 leaked helpers of the legacy entrypoint, 6 left, 3 could not be removed; .*next start tries again originalMessage=".*(remove root filesystem|operation not permitted)/,
    );
    expect(first.stderr).toContain('INFO: ok: rancher-agent runs');
    expect(await scene.readStatus()).toMatchObject({ state: 'ok' });

    const second = await scene.register(images.a, ...limits(atOnce));
    expect(second, second.stderr).toMatchObject({ status: 0 });
    expect(second.stderr).toContain('removed 3 leaked helpers of the legacy entrypoint, 3 left');
    expect(await present([...sick, ...others])).toEqual(sick);

    for (const id of sick) await scene.host.makeRemovable(id);
    const third = await scene.register(images.a, ...limits(atOnce));
    expect(third.stderr).toContain('removed 3 leaked helpers of the legacy entrypoint, none left');
    expect(await present(sick)).toEqual([]);
  });
});

describe("the agent's own sweep", () => {
  it('does not delay the bootstrap, and stops as soon as a worker runs', async () => {
    const leaked: string[] = [];
    for (let count = 0; count < 6; count += 1) leaked.push(await make());
    let removals = 0;
    scene.host.proxy.addRule({
      match: ({ method, userAgent }) => method === 'DELETE' && userAgent.includes('(sweep)'),
      action: {
        kind: 'call',
        when: 'before',
        run: async () => {
          removals += 1;
          if (removals === 1) await logSays(bootstrapMarker);
          if (removals === 3) {
            const binds = ['/var/run/docker.sock:/var/run/docker.sock', ...(await longRunning())];
            const worker = { name: 'rancher-agent-worker', binds, start: true };
            await make({ ...worker, labels: { 'io.rancher.agent-entrypoint.role': 'worker' } });
          }
        },
      },
    });
    await startAgent(...limits(atOnce));
    await logSays(
      'removed 3 leaked helpers of the legacy entrypoint, 3 left; a worker needs the engine, the next start goes on',
    );
    expect(await present(leaked)).toEqual(leaked.slice(3));
    expect(removals).toBe(3);
  });
});

describe('a container with a million labels, which a tenant has created and never started', () => {
  it('costs agent, upgrade, doctor, status and cleanup one warning each, and no process restarts', async () => {
    const labels = Object.fromEntries(
      Array.from({ length: 1_000_000 }, (_, index) => [index.toString(36), '']),
    );
    const created = await callEngine(
      scene.host.engineSocketPath,
      'POST',
      '/containers/create?name=brave_tenant',
      {
        body: { Image: images.base, Labels: labels },
        timeoutMs: 120_000,
      },
    );
    expect(created).toMatchObject({ status: 201 });
    const leaked = await make();

    const first = await scene.register(images.a, ...limits(atOnce));
    expect(first, first.stderr).toMatchObject({ status: 0 });
    expect(first.stderr).toContain('removed 1 leaked helper of the legacy entrypoint, none left');
    expect(await present([leaked])).toEqual([]);
    const upgrade = await scene.upgrade(images.b, ...limits(atOnce));
    expect(upgrade, upgrade.stderr).toMatchObject({ status: 0 });
    await logSays('brave_tenant');
    const log = await scene.host.tryDocker('logs', 'rancher-agent');
    expect(log.stderr.match(/read in part/g), log.stderr).toHaveLength(1);

    for (const command of [['doctor'], ['status'], ['cleanup', '--dry-run'], ['cleanup', '--yes']]) {
      const result = await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', ...command);
      expect(result.status, command.join(' ') + result.stderr).toBeLessThan(2);
      expect((result.stderr.match(/read in part/g) ?? []).length, result.stderr).toBeLessThan(2);
    }
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Config: { Image: images.b },
      State: { Running: true },
      RestartCount: 0,
    });
    expect((await scene.host.containers()).map(({ name }) => name)).toContain('brave_tenant');
  });
});
