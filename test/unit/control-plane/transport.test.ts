import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createServer as createTlsServer } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { beforeAll, afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { loadRegistrationEnvironment } from '../../../src/control-plane/registration/environment.ts';
import { judgeReportedUrl, remarkOnPlainHttp, requireHttps } from '../../../src/control-plane/transport.ts';
import { parseServerUrl } from '../../../src/control-plane/url.ts';
import { profileNames, remarksOn } from '../../../src/support/configuration.ts';
import { ConfigurationError } from '../../../src/support/errors.ts';
import { certificates } from '../../support/server/certificates.ts';
import { startStubServer, type StubOptions, type StubServer } from '../../support/server/stub/stub-server.ts';
import { createTestConnection, rejectionOf } from '../../support/server/test-connection.ts';

const https = 'https://rancher.example/v1/scripts/TOKEN';
const plain = 'http://rancher.example/v1';
const other = 'https://other.example/v1';

describe.each(profileNames)('an address that a server of %s reports', (profile) => {
  const judge = (asked: string, told: string, hasToken: boolean): string | undefined =>
    judgeReportedUrl({ asked: [asked], told, hasToken, profile });

  it.each([
    ['of the same server', plain, true],
    ['of the same server, for a base URL', plain, false],
    ['of another server', 'http://elsewhere.example:81/v1', false],
  ])('is refused where it turns https into http: %s', (_title, told, hasToken) => {
    expect(() => judge(https, told, hasToken)).toThrow(ConfigurationError);
    expect(() => judge(https, told, hasToken)).toThrow('reports a plain http address, which is refused');
  });

  it('is as expected on the server that was asked, whatever its path', () => {
    expect(judge(https, 'https://rancher.example/v2-beta', true)).toBeUndefined();
    expect(judge('http://rancher.example:8080', 'http://rancher.example:8080/v1', false)).toBeUndefined();
  });

  it('leads a registration URL to no other https server', () => {
    expect(() => judge(https, other, true)).toThrow('which is not the server that was asked');
    expect(() => judge(https, 'https://rancher.example:8443/v1', true)).toThrow(ConfigurationError);
  });

  it.each([
    ['a base URL', 'https://rancher.example', other, false],
    ['a base URL of plain http, to https', 'http://rancher.example:8080', other, false],
    ['a registration URL of plain http', 'http://a.example/v2-beta/scripts/T', 'http://b.example/v1', true],
  ])(
    'may lead %s elsewhere, with a warning, but no agent of PastureStack',
    (_title, asked, told, hasToken) => {
      if (profile === 'pasturestack') expect(() => judge(asked, told, hasToken)).toThrow(ConfigurationError);
      else expect(judge(asked, told, hasToken)).toMatch(/calls itself .*: the agent will use that address$/);
    },
  );
});

it('an address that was https at any time on the way never becomes http', () => {
  expect(() =>
    judgeReportedUrl({
      asked: ['https://b.example/v1/scripts/T', 'http://a.example'],
      told: 'http://b.example/v1',
      hasToken: false,
      profile: 'rancher-1.2',
    }),
  ).toThrow('plain http');
});

describe('a registration by https, at a real server', () => {
  /** The stub listens on 127.0.0.1, which only images of this profile accept. */
  const profile = 'rancher-1.0';
  const connect = () =>
    createTestConnection({ trust: { ca: [certificates.authority] }, limits: { HTTP_TOTAL: 5_000 } });
  const start = async (options: StubOptions): Promise<StubServer> => {
    const stub = await startStubServer({ tls: certificates.server, ...options });
    onTestFinished(() => stub.close());
    return stub;
  };
  const load = async (url: string, urlOverride?: string, connection = connect()) =>
    loadRegistrationEnvironment(connection, { server: parseServerUrl(url, profile), profile, urlOverride });

  it.each(['v1', 'v2-beta'])('refuses a CATTLE_URL of plain http, by /%s', async (version) => {
    const stub = await start({ apiHost: 'http://127.0.0.1:1' });
    const url = `${stub.url}/${version}/scripts/${stub.token}`;
    const error = await rejectionOf(load(url));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('asked by https');
    expect(error).toMatchObject({
      hint: expect.stringMatching(/X-Forwarded-Proto: https.*CATTLE_URL_OVERRIDE/s) as string,
    });
    expect(error.message).not.toContain(stub.token);
    // A person's own word is the way out.
    expect((await load(url, 'https://mine.example/v1')).cattleUrl).toBe('https://mine.example/v1');
  });

  it('refuses a registration URL of plain http before the token goes there, whatever the override', async () => {
    const downgraded = await startStubServer({});
    onTestFinished(() => downgraded.close());
    const stub = await start({ tokenExists: true, apiHost: downgraded.url });
    for (const override of [undefined, 'https://mine.example/v1']) {
      const error = await rejectionOf(load(stub.url, override));
      expect(error.message).toContain('plain http');
    }
    expect(downgraded.requests).toEqual([]);
  });

  it('refuses another https server for a registration URL, and warns for a base URL', async () => {
    const elsewhere = await start({});
    const stub = await start({ tokenExists: true, apiHost: elsewhere.url });
    const error = await rejectionOf(load(`${stub.url}/v2-beta/scripts/${stub.token}`));
    expect(error.message).toContain('which is not the server that was asked');
    const connection = connect();
    expect((await load(stub.url, undefined, connection)).cattleUrl).toBe(`${elsewhere.url}/v1`);
    expect(connection.lines.filter((line) => line.includes('calls itself'))).not.toEqual([]);
  });
});

describe('plain http', () => {
  it('is named once, unless a person accepts it', () => {
    expect(remarkOnPlainHttp(plain, 'unset')).toContain('change the script that runs as root');
    expect(remarkOnPlainHttp(plain, 'required')).toContain('plain http');
    expect(remarkOnPlainHttp(plain, 'accepted')).toBeUndefined();
    expect(remarkOnPlainHttp(https, 'unset')).toBeUndefined();
  });

  it.each([
    ['', false],
    ['false', false],
    ['no', false],
    ['true', true],
    ['1', true],
    ['ture', true],
  ])('with AGENT_REQUIRE_HTTPS=%j it is refused: %j', (value, isRefused) => {
    const environment = { AGENT_REQUIRE_HTTPS: value };
    const check = (): void => {
      requireHttps(plain, environment);
    };
    if (isRefused) expect(check).toThrow('AGENT_REQUIRE_HTTPS is set');
    else expect(check).not.toThrow();
    requireHttps(https, environment);
  });

  it('gets no request from our client with AGENT_REQUIRE_HTTPS: no keys, no token', async () => {
    const stub = await startStubServer({});
    onTestFinished(() => stub.close());
    const { client } = createTestConnection({ environment: { AGENT_REQUIRE_HTTPS: 'true' } });
    const credentials = { accessKey: 'AK', secretKey: 'the-secret-key' };
    const error = await rejectionOf(client.request({ method: 'GET', url: stub.url, credentials }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(stub.requests).toEqual([]);
  });

  it('and a word that is neither true nor false counts as the stricter one, and is named', () => {
    expect(remarksOn({ AGENT_REQUIRE_HTTPS: 'ture', AGENT_TLS_TRUST: 'strict' })).toEqual([
      'AGENT_TLS_TRUST is all or ca.crt, not "strict": it counts as ca.crt, the stricter one',
      'AGENT_REQUIRE_HTTPS is true or false, not "ture": it counts as true',
    ]);
    expect(remarksOn({ AGENT_REQUIRE_HTTPS: 'off', AGENT_TLS_TRUST: 'ca.crt' })).toEqual([]);
  });
});

describe('a process whose environment weakens Node’s TLS, at a real server', { timeout: 60_000 }, () => {
  const folder = join(import.meta.dirname, '../../support/server');
  const file = (name: string): string => join(folder, 'certificates', name);
  let server: StubServer;
  beforeAll(async () => {
    server = await startStubServer({ tls: certificates.server });
  });
  afterAll(async () => server.close());

  async function ask(
    environment: Readonly<Record<string, string>>,
    ...ca: readonly string[]
  ): Promise<string> {
    const script = join(folder, 'ask-server.ts');
    const arguments_ = ['--disable-warning=ExperimentalWarning', script, `${server.url}/v1`, ...ca];
    const { stdout } = await promisify(execFile)(process.execPath, arguments_, {
      env: { PATH: process.env['PATH'] ?? '', ...environment },
    });
    return stdout;
  }

  it('trusts no server with NODE_TLS_REJECT_UNAUTHORIZED=0', async () => {
    const environment = { NODE_TLS_REJECT_UNAUTHORIZED: '0' };
    expect(await ask(environment)).toContain('untrusted');
    expect(await ask(environment, file('stranger.crt'))).toContain('untrusted');
    expect(await ask(environment, file('authority.crt'))).toBe('answered 200\n');
  });

  it('and no https proxy either: the password for it is not sent', async () => {
    let bytes = 0;
    const proxy = createTlsServer({ ...certificates.server }, (socket) => {
      socket.on('data', (chunk: Buffer) => (bytes += chunk.length));
      socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void proxy.close());
    const { port } = proxy.address() as AddressInfo;
    const https_proxy = `https://me:the-password@127.0.0.1:${port}`;
    const said = await ask({ NODE_TLS_REJECT_UNAUTHORIZED: '0', https_proxy }, file('stranger.crt'));
    expect(said).not.toContain('answered');
    expect(said).not.toContain('the-password');
    expect(bytes).toBe(0);
  });

  it('trusts a well-known authority, but with AGENT_TLS_TRUST=ca.crt that file alone', async () => {
    // The system's authorities, as every base image has them.
    const system = { SSL_CERT_FILE: file('authority.crt'), SSL_CERT_DIR: '/nonexistent' };
    expect(await ask(system)).toBe('answered 200\n');
    const strict = { ...system, AGENT_TLS_TRUST: 'ca.crt', NODE_EXTRA_CA_CERTS: file('authority.crt') };
    expect(await ask(strict)).toContain('untrusted');
    expect(await ask(strict, file('stranger.crt'))).toContain('untrusted');
    expect(await ask(strict, file('authority.crt'))).toBe('answered 200\n');
  });
});
