import { access, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectNoSecrets, placesOf, secretsOf } from '../../support/scenes/canary.ts';
import { certificates } from '../../support/server/certificates.ts';
import { startStubServer, type StubServer } from '../../support/server/stub/stub-server.ts';
import { fingerprints, throwSwitch } from '../../support/server/stub/stub-switches.ts';
import { caFiles, tlsServers } from '../../support/server/tls-servers.ts';
import { startForwardProxy, type ForwardProxy } from '../../support/server/forward-proxy.ts';
import { images, limits, quick, startScene, type Scene } from '../../support/scenes/scene.ts';
import { areRequestsOf, composeRequests } from '../../support/faults/switch-requests.ts';
import { registrationLimits, tlsRows, type TlsRow } from '../../support/faults/switch-table.ts';

/** One host, and https servers with certificates of an authority that the image does not know. */
let scene: Scene;
let servers: Partial<Record<TlsRow['certificate'], StubServer>>;

beforeAll(async () => {
  scene = await startScene({ name: 'tls', stub: { tls: certificates.server } });
  const others = { host: scene.host.gateway, registrationTokenText: scene.server.token };
  servers = { server: scene.server };
  for (const [name, tls] of Object.entries(tlsServers)) {
    if (name !== 'server') servers[name as TlsRow['certificate']] = await startStubServer({ ...others, tls });
  }
});
beforeEach(async () => {
  await scene.server.heal();
  scene.server.setRequiredImage(images.a);
  await scene.host.proxy.reset();
  await rm(etc(), { recursive: true, force: true });
});
afterAll(async () => {
  await scene.close();
  for (const server of Object.values(servers)) await server.close();
});

/** The host's folder for what people set; /var/lib/rancher/etc for containers. */
function etc(...names: readonly string[]): string {
  return join(scene.host.stateDir, 'etc', ...names);
}

async function register(url: string, environment: Readonly<Record<string, string>>) {
  const result = await scene.host.tryDocker(
    ...['run', '--rm', '--privileged', '-v', '/var/run/docker.sock:/var/run/docker.sock'],
    ...quick,
    ...limits(registrationLimits),
    ...Object.entries(environment).flatMap(([name, value]) => ['-e', `${name}=${value}`]),
    images.a,
    url,
  );
  return { ...result, originalMessage: result.stdout + result.stderr };
}

describe('a registration at an https server of its own authority', () => {
  it.each(tlsRows.map((row) => [titleOf(row), row] as const))('%s', async (_title, row) => {
    const server = servers[row.certificate];
    if (server === undefined) throw new Error(`no server ${row.certificate}`);
    const before = await scene.host.inspect('rancher-agent');
    const asked = server.requests.length;
    for (const text of row.switches) await throwSwitch(server, text);
    if (row.caFile !== undefined) {
      await mkdir(etc('ssl'), { recursive: true });
      await writeFile(etc('ssl/ca.crt'), caFiles[row.caFile]);
    }
    const { status, originalMessage } = await register(server.registrationUrl, row.environment ?? {});
    expect(status, originalMessage).toBe(row.exit);
    expect(originalMessage).toContain(row.says);
    const requests = server.requests
      .slice(asked)
      .map(({ endpoint }) => endpoint)
      .filter((name) => !['configcontent-schema', 'bootstrap', 'external-events'].includes(name));
    expect(areRequestsOf(row, requests), `${composeRequests(requests)} instead of ${row.requests}`).toBe(
      true,
    );

    const after = await scene.host.inspect('rancher-agent');
    if (row.exit === 0) {
      expect(await scene.readStatus()).toMatchObject({ state: 'ok', exitCode: 0 });
      expect(await readFile(etc('ssl/ca.crt'), 'utf8')).toBe(caFiles[row.caFile ?? 'authority']);
      expect(await readFile(etc('agent.conf'), 'utf8')).toBe(
        ['CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE']
          .map((name) => `export ${name}=/var/lib/rancher/etc/ssl/ca.crt\n`)
          .join(''),
      );
      expect(after).toMatchObject({ State: { Running: true }, RestartCount: 0 });
    } else {
      await scene.only(...(before === undefined ? [] : ['rancher-agent']));
      if (row.caFile === undefined) await expect(access(etc('ssl/ca.crt'))).rejects.toThrow('ENOENT');
    }
    if (row.replaces !== true) expect(after?.Id).toBe(before?.Id);
    expectNoSecrets(await secretsOf(scene), {
      ...(await placesOf(scene)),
      'what the command said': originalMessage,
    });
  });
});

function titleOf({ certificate, caFile, environment, switches }: TlsRow): string {
  const parts = [
    certificate,
    ...switches,
    caFile && `ca.crt: ${caFile}`,
    environment?.['CA_FINGERPRINT'],
    environment?.['AGENT_TLS_MIN'],
    environment?.['AGENT_TLS_TRUST'] && 'only ca.crt is trusted',
  ];
  return parts.filter(Boolean).join(', ');
}

describe('through a forward proxy that asks for a password', () => {
  let proxy: ForwardProxy;
  const pinned = { CA_FINGERPRINT: fingerprints.authority };

  beforeAll(async () => {
    proxy = await startForwardProxy(scene.host.gateway);
  });
  beforeEach(async () => throwSwitch(scene.server, 'cacert=ok'));
  afterAll(async () => proxy.close());

  const server = (): string => `${scene.host.gateway}:${scene.server.port}`;

  it('a host registers at an https server, and its agent reaches that server', async () => {
    const asked = scene.server.requestsTo('bootstrap').length;
    const { status, originalMessage } = await register(scene.server.registrationUrl, {
      ...pinned,
      https_proxy: proxy.url,
    });
    expect(status, originalMessage).toBe(0);
    await anotherBootstrap(asked);
    const tunnels = await proxy.readTunnels();
    // One a request of the worker (untrusted once) and of the agent: the certificate, three scripts, the list, keys.
    expect(tunnels.length).toBeGreaterThanOrEqual(7);
    expect(new Set(tunnels)).toEqual(new Set([server()]));
    expect((await scene.host.inspect('rancher-agent'))?.Config.Env).toContain(`https_proxy=${proxy.url}`);
    await expectNoTraces(originalMessage);
  });

  it('the variable of the proxy works in capital letters as well', async () => {
    const before = (await proxy.readTunnels()).length;
    const asked = scene.server.requestsTo('bootstrap').length;
    const { status, originalMessage } = await register(scene.server.registrationUrl, {
      ...pinned,
      HTTPS_PROXY: proxy.url.replace('http://', ''),
    });
    expect(status, originalMessage).toBe(0);
    await anotherBootstrap(asked);
    expect((await proxy.readTunnels()).length).toBeGreaterThanOrEqual(before + 5);
    await expectNoTraces(originalMessage);
  });

  it.each([
    [
      'NO_PROXY',
      'elsewhere.example,10.213.0.0/16',
      'a curl before 7.86 does not understand the NO_PROXY entry',
    ],
    ['no_proxy', 'elsewhere.example SERVER', 'curl does not understand the NO_PROXY entry'],
  ])(
    'with %s=%s our client goes past the proxy, and what curl reads differently is named',
    async (name, value, remark) => {
      const log = await proxy.readLog();
      const asked = scene.server.requestsTo('bootstrap').length;
      const { status, originalMessage } = await register(scene.server.registrationUrl, {
        ...pinned,
        https_proxy: proxy.url,
        [name]: value.replace('SERVER', server()),
      });
      expect(status, originalMessage).toBe(0);
      await anotherBootstrap(asked);
      // The image's own curl goes where it is sent; our client never does.
      const since = (await proxy.readLog()).slice(log.length);
      if (name === 'NO_PROXY') expect(since).toBe('');
      else expect(since).not.toMatch(/user|password|407/i);
      expect(originalMessage).toContain(remark);
      expect(originalMessage).toContain(`what to do: ${remark}`);
      await expectNoTraces(originalMessage);
    },
  );

  it('a password that the proxy refuses is reported and not shown', async () => {
    const asked = scene.server.requests.length;
    const { status, originalMessage } = await register(scene.server.registrationUrl, {
      ...pinned,
      https_proxy: proxy.url.replace(proxy.password, 'c4nary0fs0m30n3'),
      AGENT_LIMIT_SERVER_TRIES: '1',
    });
    expect(status, originalMessage).toBe(69);
    expect(originalMessage).toContain('the proxy refused the connection');
    expect(scene.server.requests.length).toBe(asked);
    await expectNoTraces(originalMessage, { 'the wrong password': 'c4nary0fs0m30n3' });
  });

  it('an upgrade keeps the proxy, the tools of the container trust the certificate of the server, and no secret is shown', async () => {
    const { status, originalMessage } = await register(scene.server.registrationUrl, {
      ...pinned,
      https_proxy: proxy.url,
      CATTLE_SCRIPT_DEBUG: 'true',
    });
    expect(status, originalMessage).toBe(0);
    await scene.settled();
    const before = (await proxy.readTunnels()).length;
    const upgraded = await scene.upgrade(images.b, '-e', 'RANCHER_DEBUG=true', '-e', 'LOG_FORMAT=json');
    expect(upgraded, upgraded.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    await scene.settled();
    await scene.waitFor('the new agent asks through the proxy', async () =>
      (await proxy.readTunnels()).length > before ? true : undefined,
    );
    const url = `${scene.server.url}/v1/scripts/bootstrap`;
    await scene.waitFor('curl in the container trusts the server', async () =>
      (await scene.host.tryDocker('exec', 'rancher-agent', 'curl', '-sSf', '--noproxy', '*', url)).status ===
      0
        ? true
        : undefined,
    );
    await expectNoTraces(originalMessage + upgraded.stdout + upgraded.stderr);
  });

  /** The agent that was promoted asks for its script, the last of its requests. */
  async function anotherBootstrap(asked: number): Promise<void> {
    await scene.waitFor('a bootstrap', () =>
      Promise.resolve(scene.server.requestsTo('bootstrap').length > asked ? true : undefined),
    );
  }

  /** Of any secret, the proxy's password among them, on the host, in its engine, in what was said, or in the proxy. */
  async function expectNoTraces(
    originalMessage: string,
    more: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const secrets = { ...(await secretsOf(scene)), "the proxy's password": proxy.password, ...more };
    expectNoSecrets(secrets, {
      ...(await placesOf(scene)),
      'what the command said': originalMessage,
      "the proxy's log": await proxy.readLog(),
    });
  }
});
