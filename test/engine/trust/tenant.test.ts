import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Diagnosis } from '../../../src/doctor/diagnosis.ts';
import { openTenant, type Tenant } from '../../support/engine-proxy/tenant.ts';
import { images, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/*
 * Containers of an unprivileged user of the engine, who chooses name, label, image, command and environment (invariant 8).
 * Whatever they look like, no command stops, renames, removes or believes them.
 */

const evil = 'rancher/agent:evil';
const evilServer = 'http://evil.example/v1';
const ourLabel = 'io.rancher.agent-entrypoint.role=agent';
const privileged = ['--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'];

let scene: Scene;
let tenant: Tenant;

beforeAll(async () => {
  scene = await startScene({ name: 'tenant' });
  tenant = await openTenant(scene.host);
});
beforeEach(async () => makeEvilImage());
afterEach(async () => scene.reset());
afterAll(async () => {
  await tenant.close();
  await scene.close();
});

/** An image with an agent's name and label whose `run` only sleeps. */
async function makeEvilImage(): Promise<void> {
  const { host } = scene;
  const folder = await mkdtemp(join(tmpdir(), 'evil-'));
  try {
    await writeFile(join(folder, 'run.sh'), '#!/bin/sh\nexec sleep 86400\n', { mode: 0o755 });
    await host.docker('create', '--name', 'maker', images.base, 'true');
    await host.docker('cp', join(folder, 'run.sh'), 'maker:/run.sh');
    await host.docker(
      ...['commit', '-c', 'ENTRYPOINT ["/run.sh"]', '-c', 'LABEL io.rancher.container.system=rancher-agent'],
      ...['maker', evil],
    );
    await host.docker('rm', 'maker');
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A container of the tenant that looks as much like an agent as it can. @returns its id */
async function forge(name: string): Promise<string> {
  return tenant.docker(
    ...['run', '-d', '--name', name, '--restart', 'always', '--label', ourLabel],
    ...['-e', `CATTLE_URL=${evilServer}`, '-e', 'CATTLE_ACCESS_KEY=forged', '-e', 'CATTLE_SECRET_KEY=forged'],
    ...[evil, 'run'],
  );
}

/** These containers run as they were created, and nobody has asked the engine to change one. */
async function expectUntouched(forged: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, id] of Object.entries(forged)) {
    expect(await scene.host.inspect(name), name).toMatchObject({
      Id: id,
      State: { Running: true },
      RestartCount: 0,
      HostConfig: { RestartPolicy: { Name: 'always' } },
    });
  }
  const ids = Object.values(forged);
  const changes = scene.host.proxy.requests.filter(
    ({ method, path }) => method !== 'GET' && ids.some((id) => path.includes(id)),
  );
  expect(changes).toEqual([]);
}

/** No container that could act for this host has anything of the tenant. */
async function expectNotBelieved(...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const { Env = [] } = (await scene.host.inspect(name))?.Config ?? {};
    expect(Env.join(' '), name).not.toMatch(/forged|evil\.example/);
  }
}

async function registered(): Promise<string> {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  return (await scene.host.inspect('rancher-agent'))?.Id ?? '';
}

async function doctor(): Promise<{ status: number; diagnosis: Diagnosis }> {
  // As an operator does whose server speaks plain http.
  const folder = join(scene.host.stateDir, 'etc');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'agent.conf'), 'export AGENT_REQUIRE_HTTPS=false\n');
  const { status, stdout } = await scene.host.tryDocker(
    ...['run', '--rm', '--pid=host', ...privileged, '-v', '/var/lib/rancher:/var/lib/rancher'],
    ...[images.a, 'doctor', '--json'],
  );
  return { status, diagnosis: JSON.parse(stdout) as Diagnosis };
}

it('a tenant gets past the filter with nothing that leads to the host', async () => {
  for (const words of [
    ['run', '--privileged', images.base, 'true'],
    ['run', '-v', '/var/run/docker.sock:/s', images.base, 'true'],
    ['run', '--mount', 'type=bind,src=/var/run/docker.sock,dst=/s', images.base, 'true'],
    ['run', '--pid', 'host', images.base, 'true'],
    ['run', '--network', 'host', images.base, 'true'],
    ['run', '--cap-add', 'SYS_ADMIN', images.base, 'true'],
    ['volume', 'create', '--opt', 'type=none', '--opt', 'o=bind', '--opt', 'device=/'],
  ]) {
    const result = await tenant.tryDocker(...words);
    expect(result.stderr, words.join(' ')).toContain('authorization denied');
  }
  await scene.host.docker('run', '-d', '--name', 'another', images.base, 'sleep', '86400');
  for (const words of [
    ['rm', '-f', 'another'],
    ['stop', 'another'],
    ['rename', 'another', 'x'],
    ['exec', 'another', 'true'],
    ['run', '--volumes-from', 'another', images.base, 'true'],
  ]) {
    expect((await tenant.tryDocker(...words)).stderr, words.join(' ')).toContain('authorization denied');
  }
});

describe('on a host without an agent', () => {
  it('a tenant’s parked agent gives an upgrade no keys, and a registration neither keys nor server', async () => {
    const forged = { 'rancher-agent-previous': await forge('rancher-agent-previous') };
    const upgrade = await scene.host.tryDocker('run', '--rm', ...privileged, ...quick, images.b, 'upgrade');
    expect(upgrade, upgrade.stderr).toMatchObject({ status: 78 });
    expect(upgrade.stderr).toContain('there is no agent on this host to upgrade');
    await scene.only('rancher-agent-previous');
    await expectUntouched(forged);
    await registered();
    await expectNotBelieved('rancher-agent');
    await scene.only('rancher-agent', 'rancher-agent-previous');
    await expectUntouched(forged);
  });
});

describe('on a host with an agent', () => {
  it('a tenant’s parked agent does not take its place after it was restarted, and the doctor names it', async () => {
    const agent = await registered();
    await scene.settled();
    const forged = { 'rancher-agent-previous': await forge('rancher-agent-previous') };
    await scene.host.proxy.reset();
    await scene.host.killProcess('rancher-agent');
    await scene.waitFor('the restart', async () =>
      (await scene.host.inspect('rancher-agent'))?.RestartCount === 1 ? true : undefined,
    );
    const reconcile = await scene.host.tryDocker(
      ...[
        'run',
        '--rm',
        '--name',
        'rancher-agent-worker',
        '--pid',
        'host',
        '--network',
        'host',
        ...privileged,
      ],
      ...['-v', '/var/lib/rancher:/var/lib/rancher', ...quick, images.a, 'worker', 'reconcile'],
    );
    expect(reconcile, reconcile.stderr).toMatchObject({ status: 0 });
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Id: agent, State: { Running: true } });
    await expectNotBelieved('rancher-agent');
    await expectUntouched(forged);
    const { diagnosis, status } = await doctor();
    expect(status).toBe(1);
    expect(diagnosis.causes).toEqual(['role-name-taken']);
    const finding = diagnosis.findings.find(({ cause }) => cause === 'role-name-taken');
    expect(finding?.text).toMatch(
      /rancher-agent-previous \([0-9a-f]{12}\) .* not managed: rancher\/agent:evil/,
    );
    expect(finding?.details?.join()).toMatch(/created 20.*command "\/run\.sh run"/);
  });

  it('an agent’s image under the names of roles is never touched, and an upgrade uses spare names', async () => {
    await registered();
    await scene.settled();
    const names = ['-next', '-next-2', '-previous', '-previous-2', '-restarter', '-worker-dead'];
    const forged: Record<string, string> = {};
    for (const name of names) forged[`rancher-agent${name}`] = await forge(`rancher-agent${name}`);
    await scene.host.proxy.reset();
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stderr).toContain('creating rancher-agent-next-3');
    expect(result.stderr).toContain('to rancher-agent-previous-3');
    await scene.only('rancher-agent', ...Object.keys(forged));
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Config: { Image: images.b } });
    expect(await scene.readStatus()).toMatchObject({ state: 'ok' });
    await expectNotBelieved('rancher-agent');
    await expectUntouched(forged);
  });

  it('all names of the next agent taken: refused with their names before anything is touched', async () => {
    const agent = await registered();
    await scene.settled();
    const forged: Record<string, string> = {};
    for (const name of ['-next', '-next-2', '-next-3']) {
      forged[`rancher-agent${name}`] = await forge(`rancher-agent${name}`);
    }
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 73 });
    for (const name of Object.keys(forged)) expect(result.stderr).toContain(`${name} (`);
    expect(await scene.readStatus()).toMatchObject({
      state: 'failed',
      cause: 'role-name-taken',
      exitCode: 73,
    });
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Id: agent, State: { Running: true } });
    await expectUntouched(forged);
  });

  it('a tenant with the agent’s own name: the healthy agent serves on under the name that it has', async () => {
    const agent = await registered();
    await scene.settled();
    await scene.host.docker('rename', 'rancher-agent', 'rancher-agent-next');
    const forged = { 'rancher-agent': await forge('rancher-agent') };
    await scene.host.proxy.reset();
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 73 });
    expect(result.stderr).toMatch(
      /rancher-agent \([0-9a-f]{12}, rancher\/agent:evil\) has one of our names but is not managed/,
    );
    expect(result.stderr).toMatch(/created 20/);
    expect(await scene.readStatus()).toMatchObject({
      state: 'failed',
      cause: 'role-name-taken',
      exitCode: 73,
    });
    // Started again it is on standby; nobody acts, so it does.
    await scene.host.killProcess('rancher-agent-next');
    await scene.waitFor('an active agent', async () => {
      const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent-next');
      return /is active as rancher-agent-next instead/.test(stdout + stderr) ? true : undefined;
    });
    expect(await scene.host.inspect('rancher-agent-next')).toMatchObject({
      Id: agent,
      State: { Running: true },
    });
    await expectNotBelieved('rancher-agent-next');
    await expectUntouched(forged);
    const { diagnosis, status } = await doctor();
    expect(status).toBe(2);
    expect(diagnosis.causes[0]).toBe('role-name-taken');
    expect(JSON.stringify(diagnosis)).not.toMatch(/docker rm/);
  });

  it('20 newer containers that run as agents hide the real one from nobody (S11, E29)', async () => {
    await registered();
    await scene.settled();
    const names = Array.from({ length: 20 }, (_, index) => `job${index}`);
    await Promise.all(names.map(async (name) => forge(name)));
    const { diagnosis, status } = await doctor();
    const shown = diagnosis.findings.map(({ level, text }) => `${level} ${text}`).join('\n');
    expect(diagnosis.causes, shown).toEqual([]);
    expect(status, shown).toBe(0);
    expect(shown).toMatch(/rancher-agent runs for .*: rancher\/agent:test-a/);
    expect(diagnosis.findings.find(({ check }) => check === 'server')?.text).toContain(scene.server.url);
    expect(JSON.stringify(diagnosis)).not.toMatch(/job\d|evil|docker rm/);
  });
});
