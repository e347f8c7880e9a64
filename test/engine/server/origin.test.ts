import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';
import { startStubServer, type StubServer } from '../../support/server/stub/stub-server.ts';
import type { AgentKeys } from '../../support/server/stub/stub-state.ts';

/** To which server the keys of a host belong, on a real engine with two real servers. */

let scene: Scene;
let other: StubServer;
const othersKeys: AgentKeys = {
  accessKey: 'OTHERACCESSKEY000001',
  secretKey: 'othersecretkey00000000000000000000000001',
};

beforeAll(async () => {
  scene = await startScene({ name: 'origin' });
  other = await startStubServer({
    host: scene.host.gateway,
    requiredImages: [images.a],
    agents: [othersKeys],
  });
});
afterEach(async () => {
  await scene.reset();
  await rm(file(), { force: true });
});
afterAll(async () => {
  await scene.close();
  await other.close();
});

function file(): string {
  return join(scene.host.stateDir, 'entrypoint', 'server.json');
}

async function kept(): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(file(), 'utf8')) as Record<string, unknown>;
}

async function register(): Promise<void> {
  const result = await scene.register();
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
}

/**
 * A managed container with keys of another registration, under one of our names; a person with the socket can create
 * it.
 */
async function placeOther(name: string, { url }: Pick<StubServer, 'url'>): Promise<void> {
  await scene.host.docker(
    ...['create', '--name', name, '--restart', 'always', '--privileged', '--net', 'host', '--pid', 'host'],
    ...['-v', '/var/run/docker.sock:/var/run/docker.sock', '-v', '/var/lib/rancher:/var/lib/rancher'],
    ...['-v', '/proc:/host/proc', '-v', '/dev:/host/dev', '-e', `CATTLE_URL=${url}/v1`],
    ...['-e', `CATTLE_ACCESS_KEY=${othersKeys.accessKey}`, '-e', `CATTLE_SECRET_KEY=${othersKeys.secretKey}`],
    images.a,
    'run',
  );
}

describe('the server of the keys', () => {
  it('is stored by a registration for root only, and plain http causes a warning there and in status', async () => {
    const result = await scene.register();
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.settled();
    expect(await kept()).toMatchObject({ origin: scene.server.url, by: 'registration' });
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(result.stderr.match(/is plain http: anybody on the network/g)).toHaveLength(1);
    const status = await scene.host.docker('exec', 'rancher-agent', '/run.sh', 'status');
    expect(status).toMatch(/^server +WARNING: http:/m);
    const { stdout } = await scene.host.tryDocker('exec', 'rancher-agent', '/run.sh', 'doctor', '--json');
    expect((JSON.parse(stdout) as { causes: readonly string[] }).causes).toContain('plain-http');
  });

  it('is taken from the agent of a host that was registered before, by the next upgrade or start', async () => {
    await register();
    await rm(file());
    const upgraded = await scene.upgrade(images.b);
    expect(upgraded, upgraded.stderr).toMatchObject({ status: 0 });
    expect(upgraded.stderr).toContain(`belong to ${scene.server.url} from now on: taken from the agent`);
    expect(await kept()).toMatchObject({ origin: scene.server.url, by: 'agent' });
    await scene.removeUpgradeContainer();
    await scene.settled();
    await rm(file());
    await scene.host.docker('restart', '-t', '3', 'rancher-agent');
    await scene.waitFor('it is kept again', async () => kept().catch(() => undefined));
  });
});

describe('keys of another server', () => {
  it('are not used for a new agent by an upgrade until a person allows it with --server', async () => {
    await register();
    await scene.host.docker('rm', '-f', 'rancher-agent');
    await placeOther('rancher-agent-previous', other);
    const asked = other.requests.length;
    const refused = await scene.upgrade(images.b);
    expect(refused, refused.stderr).toMatchObject({ status: 78 });
    expect(refused.stderr).toContain(
      `the keys of rancher-agent-previous are for ${other.url}, and this host belongs to ${scene.server.url}`,
    );
    expect(await scene.readStatus()).toMatchObject({ state: 'failed', cause: 'other-server', exitCode: 78 });
    await scene.removeUpgradeContainer();
    await scene.only('rancher-agent-previous');
    expect(other.requests.length).toBe(asked);

    const mistyped = await scene.host.tryDocker(...upgradeTo('http://elsewhere.example'));
    expect(mistyped, mistyped.stderr).toMatchObject({ status: 78 });
    expect(await kept()).toMatchObject({ origin: scene.server.url });

    const taken = await scene.host.tryDocker(...upgradeTo(`${other.url}/v1`));
    expect(taken, taken.stderr).toMatchObject({ status: 0 });
    expect(taken.stderr).toContain(`now belong to ${other.url}: upgrade --server says so`);
    expect(await kept()).toMatchObject({ origin: other.url, by: '--server' });
    await scene.settled();
  });

  it('in a parked container neither replace the agent when it restarts nor are removed', async () => {
    await register();
    const agent = await scene.host.inspect('rancher-agent');
    await placeOther('rancher-agent-previous', scene.server);
    // Docker restarts it: an agent that is up for a moment only, and not for the first time.
    await scene.host.killProcess('rancher-agent');
    await scene.waitFor('the agent has reconciled', async () => {
      const { stderr, stdout } = await scene.host.tryDocker('logs', 'rancher-agent');
      return (stdout + stderr).includes(
        'rancher-agent-previous holds other keys than the agent: it is left alone',
      )
        ? true
        : undefined;
    });
    await scene.only('rancher-agent', 'rancher-agent-previous');
    expect((await scene.host.inspect('rancher-agent'))?.Id).toBe(agent?.Id);
    expect(await scene.host.inspect('rancher-agent-previous')).toMatchObject({
      State: { Status: 'created' },
    });
  });

  it('run no script on a host that belongs to another server, until a person registers the host again', async () => {
    await register();
    // Kept by somebody else's registration: a restored folder.
    await scene.host.docker('stop', '-t', '3', 'rancher-agent');
    const text = await readFile(file(), 'utf8');
    await rm(file());
    await writeFile(file(), text.replace(scene.server.url, other.url), { mode: 0o600 });
    const scripts = scene.server.requestsTo('bootstrap').length;
    await scene.host.docker('start', 'rancher-agent');
    await scene.waitFor('the state says so', async () =>
      (await scene.readStatus())['cause'] === 'other-server' ? true : undefined,
    );
    expect(scene.server.requestsTo('bootstrap').length).toBe(scripts);

    const again = await scene.register();
    expect(again, again.stderr).toMatchObject({ status: 0 });
    expect(await kept()).toMatchObject({ origin: scene.server.url, by: 'registration' });
    await scene.host.docker('restart', '-t', '3', 'rancher-agent');
    await scene.waitFor('a bootstrap', () =>
      Promise.resolve(scene.server.requestsTo('bootstrap').length > scripts ? true : undefined),
    );
  });
});

describe('AGENT_REQUIRE_HTTPS', () => {
  it('refuses a registration by plain http before anything is created or sent', async () => {
    const asked = scene.server.requests.length;
    const result = await scene.register(images.a, '-e', 'AGENT_REQUIRE_HTTPS=true');
    expect(result, result.stderr).toMatchObject({ status: 78 });
    expect(result.stderr).toContain('AGENT_REQUIRE_HTTPS is set');
    expect(await scene.names()).toEqual([]);
    expect(scene.server.requests.length).toBe(asked);
  });
});

function upgradeTo(server: string): readonly string[] {
  return [
    ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...['-e', 'AGENT_LIMIT_VERIFY=2000', '-e', 'AGENT_LIMIT_BOOTSTRAP_WATCH=2000'],
    ...[images.a, 'upgrade', '--server', server],
  ];
}
