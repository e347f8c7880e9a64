import { request } from 'node:http';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { Diagnosis } from '../../../src/doctor/diagnosis.ts';
import { openTenant, type Tenant } from '../../support/engine-proxy/tenant.ts';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/*
 * A tenant keeps the engine from answering about a container, or makes its answer larger than anybody reads. Under the names of
 * our roles, such containers end no upgrade, and blind no doctor.
 */

const soon = limits({ INSPECT: 2_000, DOCTOR_INSPECT: 2_000 });
const workerLabels = {
  'io.rancher.agent-entrypoint.role': 'worker',
  'io.rancher.container.system': 'rancher-agent',
};

let scene: Scene;
let tenant: Tenant;
let ends: (() => void)[] = [];

beforeAll(async () => {
  scene = await startScene({ name: 'tenant-silence' });
  tenant = await openTenant(scene.host);
});
afterEach(async () => {
  for (const end of ends) end();
  ends = [];
  await scene.reset();
});
afterAll(async () => {
  await tenant.close();
  await scene.close();
});

/** Asks the engine as the tenant; Docker's client has no option for a label of 70 MB. @returns the status */
async function ask(method: string, path: string, body?: object): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const headers = { 'content-type': 'application/json' };
  const socketPath = join(scene.host.dir, 'tenant.sock');
  const asked = request({ socketPath, method, path, headers }, (response) => {
    // Nobody reads it: the engine has the container's lock until somebody does.
    response.pause();
    ends.push(() => response.destroy());
    resolve(response.statusCode ?? 0);
  });
  asked.on('error', reject).end(body === undefined ? '' : JSON.stringify(body));
  return promise;
}

async function create(name: string, labels: object = workerLabels, command = ['run']): Promise<void> {
  const body = { Image: images.base, Entrypoint: ['/run.sh'], Cmd: command, Labels: labels };
  expect(await ask('POST', `/containers/create?name=${name}`, body)).toBe(201);
}

/** Holds the lock of a container: an inspection of it hangs. */
async function silence(name: string): Promise<void> {
  expect(await ask('GET', `/containers/${name}/archive?path=/usr`)).toBe(200);
}

async function registered(): Promise<void> {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
}

async function doctor(): Promise<Diagnosis> {
  const { stdout, stderr } = await scene.host.tryDocker(
    ...['run', '--rm', '--pid=host', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...['-v', '/var/lib/rancher:/var/lib/rancher', ...soon, images.a, 'doctor', '--json'],
  );
  expect(stdout, stderr).not.toBe('');
  return JSON.parse(stdout) as Diagnosis;
}

async function expectNamed(...names: readonly string[]): Promise<void> {
  const { causes, findings } = await doctor();
  expect(causes).toContain('role-name-taken');
  expect(causes).not.toContain('agent-hangs');
  expect(causes).not.toContain('left-over');
  const texts = findings.map(({ text }) => text).join('\n');
  for (const name of names) expect(texts).toContain(`${name} (`);
  expect(texts).toContain('rancher-agent runs');
}

async function idsOf(names: readonly string[]): Promise<readonly string[]> {
  return Promise.all(names.map(async (name) => tenant.docker('ps', '-aqf', `name=^${name}$`)));
}

async function expectUpgradePast(...names: readonly string[]): Promise<void> {
  const ids = await idsOf(names);
  await expectNamed(...names);
  const upgraded = await scene.upgrade(images.b, ...soon);
  expect(upgraded, upgraded.stderr).toMatchObject({ status: 0 });
  await scene.only('rancher-agent', ...names);
  expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Config: { Image: images.b } });
  expect(await idsOf(names)).toEqual(ids);
}

it(
  'containers that cannot be inspected block no upgrade, and the doctor names them',
  { timeout: 240_000 },
  async () => {
    await registered();
    const names = ['rancher-agent-worker', 'rancher-agent-next', 'rancher-agent-previous'];
    for (const name of names) await create(name);
    for (const name of names) await silence(name);
    await expectUpgradePast(...names);
  },
);

// An upgrade past it lists it dozens of times, which takes minutes here; `unit/engine/outsiders` shows each look.
it(
  'a container with a label of 65 MB is named by the doctor and hides nothing',
  { timeout: 120_000 },
  async () => {
    await registered();
    await create('rancher-agent-next', { ...workerLabels, big: 'y'.repeat(65 * 2 ** 20) });
    await expectNamed('rancher-agent-next');
  },
);

it('commands that end in the middle of an escape, or look like a secret, blind nobody', async () => {
  await registered();
  await create('anything', { big: 'y'.repeat(70_000) }, [`${'a'.repeat(1_013)}\\${'b'.repeat(100)}`]);
  await create('rancher-agent-previous', {}, ['TOKEN=abc"', 'x']);
  const { findings, causes } = await doctor();
  expect(causes).toContain('role-name-taken');
  expect(findings.flatMap(({ details = [] }) => details).join()).toContain('command "/run.sh TOKEN=***" x"');
});
