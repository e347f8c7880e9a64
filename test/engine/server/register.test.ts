import { execFile } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { enterHost } from '../../support/host/host-namespaces.ts';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of a person, whose server has access control on. */
const account = { accessKey: 'PERSONACCESSKEY00001', secretKey: 'personsecretkey0000000000000000000000001' };

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'register', stub: { account } });
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

/** Contract §4, field by field. */
const expectedBinds = [
  '/var/run/docker.sock:/var/run/docker.sock',
  '/var/run/rancher/storage:/var/run/rancher/storage',
  '/lib/modules:/lib/modules:ro',
  '/proc:/host/proc',
  '/dev:/host/dev',
  'rancher-cni:/.r',
  'rancher-agent-state:/var/lib/cattle',
  '/var/lib/rancher:/var/lib/rancher',
];

/** What people may set, and what must arrive in the agent's environment. */
const passed = {
  CATTLE_AGENT_IP: '192.0.2.17',
  CATTLE_HOST_LABELS: 'zone=north&tier=db',
  CATTLE_PHYSICAL_HOST_UUID: 'd0c5a3a4-9d4b-4f0e-8a61-2f5b7c9c1a11',
  CATTLE_CHECK_NAMESERVER: 'false',
  NO_PROXY: 'localhost,10.0.0.0/8',
};

function asOptions(environment: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
}

async function readHostKey(): Promise<string> {
  return (await readFile(join(scene.host.stateDir, 'state/.registration_token'), 'utf8')).trim();
}

describe.each([
  ['without the /var/lib/rancher mount of newer instructions', []],
  ['with it', ['-v', '/var/lib/rancher:/var/lib/rancher']],
])('a fresh host registers %s', (_title, mounts) => {
  it('and its agent is what the contract says, with labels as the only addition', async () => {
    const result = await scene.register(images.a, ...mounts, ...asOptions(passed));
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const [listed] = await scene.settled();
    expect(listed?.state).toBe('running');

    const agent = await scene.host.inspect('rancher-agent');
    const image = await scene.host.docker('image', 'inspect', '-f', '{{.Id}}', images.a);
    const keys = scene.server.agents.at(-1);
    expect(agent?.Config.Image).toBe(images.a);
    expect(agent?.Image).toBe(image);
    expect([agent?.Path, ...(agent?.Args ?? [])]).toEqual(['/run.sh', 'run']);
    expect(agent?.HostConfig).toMatchObject({
      RestartPolicy: { Name: 'always', MaximumRetryCount: 0 },
      NetworkMode: 'host',
      PidMode: 'host',
      Privileged: true,
      OomScoreAdj: -500,
      AutoRemove: false,
    });
    expect(agent?.HostConfig.Binds).toEqual(expectedBinds);
    expect(agent?.HostConfig.VolumesFrom ?? []).toEqual([]);
    expect(environmentOf(agent?.Config.Env ?? [])).toEqual({
      ...environmentOf(await imageEnvironment()),
      CATTLE_AGENT_PIDNS: 'host',
      ...passed,
      no_proxy: passed.NO_PROXY,
      CATTLE_URL: `${scene.server.url}/v1`,
      CATTLE_ACCESS_KEY: keys?.accessKey,
      CATTLE_SECRET_KEY: keys?.secretKey,
    });
    expect(
      Object.keys(agent?.Config.Labels ?? {})
        .filter(isOurs)
        .sort(),
    ).toEqual([
      'io.rancher.agent-entrypoint.readiness',
      'io.rancher.agent-entrypoint.role',
      'io.rancher.agent-entrypoint.spec',
      'io.rancher.agent-entrypoint.version',
    ]);
  });

  it('and keeps its identity: registering again finds the same one', async () => {
    await scene.register(images.a, ...mounts);
    const key = await readHostKey();
    expect(key).toMatch(/^[0-9a-f]{128}$/);
    expect((await stat(join(scene.host.stateDir, 'state/.registration_token'))).mode & 0o777).toBe(0o600);
    const before = scene.server.registrations.length;
    const first = await scene.host.inspect('rancher-agent');

    expect(await scene.register(images.a, ...mounts)).toMatchObject({ status: 0 });
    await scene.settled();
    expect(await readHostKey()).toBe(key);
    expect(scene.server.registrations).toHaveLength(before);
    expect((await scene.host.inspect('rancher-agent'))?.Id).toBe(first?.Id);
  });
});

describe('a host that registers again', () => {
  it('keeps the settings of its first registration that are not given again', async () => {
    const known = { CATTLE_AGENT_IP: passed.CATTLE_AGENT_IP, CATTLE_HOST_LABELS: passed.CATTLE_HOST_LABELS };
    expect(await scene.register(images.a, ...asOptions(known))).toMatchObject({ status: 0 });
    await scene.settled();
    const first = await scene.host.inspect('rancher-agent');
    const again = await scene.register();
    expect(again, again.stderr).toMatchObject({ status: 0 });
    expect(again.stderr).toContain('CATTLE_AGENT_IP was not given again; it stays 192.0.2.17');
    expect((await scene.host.inspect('rancher-agent'))?.Id).toBe(first?.Id);
    const without = await scene.register(images.a, '-e', 'CATTLE_HOST_LABELS=');
    expect(without, without.stderr).toMatchObject({ status: 0 });
    await scene.settled();
    expect(environmentOf((await scene.host.inspect('rancher-agent'))?.Config.Env ?? [])).toMatchObject({
      CATTLE_AGENT_IP: passed.CATTLE_AGENT_IP,
      CATTLE_HOST_LABELS: '',
    });
  });

  it('uses the keys of an agent that it is given, and is not registered', async () => {
    expect(await scene.register()).toMatchObject({ status: 0 });
    await scene.settled();
    const keys = scene.server.agents.at(-1);
    const asked = scene.server.requestsTo('register-list').length;
    const given = asOptions({
      CATTLE_ACCESS_KEY: keys?.accessKey ?? '',
      CATTLE_SECRET_KEY: keys?.secretKey ?? '',
    });
    const result = await scene.register(images.a, ...given, '-e', 'CATTLE_HOST_LABELS=a=b');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stderr).toContain('this host is not registered: it uses the agent keys that were given');
    expect(scene.server.requestsTo('register-list')).toHaveLength(asked);
    expect(result.stderr).not.toContain(keys?.secretKey);
    // Keys of an account are none of an agent: the host is registered, as without them.
    const ofAccount = asOptions({
      CATTLE_ACCESS_KEY: account.accessKey,
      CATTLE_SECRET_KEY: account.secretKey,
    });
    const registered = await scene.register(images.a, ...ofAccount, '-e', 'CATTLE_HOST_LABELS=a=b');
    expect(registered, registered.stderr).toMatchObject({ status: 0 });
    expect(registered.stderr).toContain('CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY are not used');
    expect(registered.stderr).not.toContain(account.secretKey);
  });
});

describe('a registration that cannot work', () => {
  it('is refused where the host key cannot be stored, because each try would register another host', async () => {
    const before = scene.server.registrations.length;
    const onHost = async (...command: readonly string[]) =>
      promisify(execFile)('nsenter', [...enterHost(scene.host.initPid), ...command]);
    await onHost('mount', '--bind', '/var/lib/rancher', '/var/lib/rancher');
    try {
      await onHost('mount', '-o', 'remount,bind,ro', '/var/lib/rancher');
      const results = [await scene.register(), await scene.register()];
      for (const result of results) {
        expect(result, result.stderr).toMatchObject({ status: 73 });
        expect(result.stderr).toContain('each registration would create another host');
      }
    } finally {
      await onHost('umount', '-l', '/var/lib/rancher');
    }
    expect(scene.server.registrations).toHaveLength(before);
    await scene.only();
  });

  it.each([
    ['an unknown token', () => scene.server.registrationUrl.replace(/scripts\/.*/, 'scripts/unknown'), 78],
    ['an address of this host itself', () => 'http://127.0.0.1:8080/v1/scripts/t', 78],
    ['no URL at all', () => 'httpfoo', 78],
  ])('ends for %s before anything is touched', async (_title, url, status) => {
    const before = scene.server.registrations.length;
    const result = await scene.host.tryDocker(
      ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
      images.a,
      url(),
    );
    expect(result, result.stderr).toMatchObject({ status });
    expect(result.stderr).toMatch(/^ERROR: /m);
    await scene.only();
    expect(scene.server.registrations).toHaveLength(before);
  });

  it('takes the keys of an account where access control is on, and the agent does not get them', async () => {
    scene.server.behaviour.auth = 'on';
    const withKeys = async (secretKey: string) =>
      scene.registerAt(
        `${scene.server.url}/v1`,
        images.a,
        ...asOptions({ CATTLE_ACCESS_KEY: account.accessKey, CATTLE_SECRET_KEY: secretKey }),
      );
    const wrong = await withKeys('some other key');
    expect(wrong, wrong.stderr).toMatchObject({ status: 77 });
    expect(wrong.stderr).toContain('refuses CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY');
    await scene.only();

    const result = await withKeys(account.secretKey);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.settled();
    const agent = await scene.host.inspect('rancher-agent');
    expect(environmentOf(agent?.Config.Env ?? [])).toMatchObject({
      CATTLE_ACCESS_KEY: scene.server.agents.at(-1)?.accessKey,
      CATTLE_SECRET_KEY: scene.server.agents.at(-1)?.secretKey,
    });
    for (const text of [
      JSON.stringify(agent),
      result.stderr,
      wrong.stderr,
      JSON.stringify(await scene.readStatus()),
    ])
      expect(text).not.toContain(account.secretKey);
  });

  it('refuses an address that other hosts cannot reach', async () => {
    const result = await scene.register(images.a, '-e', 'CATTLE_AGENT_IP=127.0.0.1');
    expect(result, result.stderr).toMatchObject({ status: 78 });
    expect(await scene.names()).toEqual([]);
  });
});

function environmentOf(entries: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    entries.map((entry) => [entry.slice(0, entry.indexOf('=')), entry.slice(entry.indexOf('=') + 1)]),
  );
}

async function imageEnvironment(): Promise<readonly string[]> {
  return JSON.parse(
    await scene.host.docker('image', 'inspect', '-f', '{{json .Config.Env}}', images.a),
  ) as string[];
}

function isOurs(label: string): boolean {
  return label.startsWith('io.rancher.agent-entrypoint.');
}
