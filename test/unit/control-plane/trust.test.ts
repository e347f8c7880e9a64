import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createHttpClient } from '../../../src/control-plane/http/client.ts';
import { parseFingerprint, readFirstCertificate } from '../../../src/control-plane/certificates.ts';
import { establishTrust } from '../../../src/control-plane/trust.ts';
import type { TlsTrust } from '../../../src/support/configuration.ts';
import { ConfigurationError, ServerUnavailableError } from '../../../src/support/errors.ts';
import { certificates } from '../../support/server/certificates.ts';
import { startStubServer, type StubOptions } from '../../support/server/stub/stub-server.ts';
import { createTestConnection, rejectionOf } from '../../support/server/test-connection.ts';

const authority = new X509Certificate(certificates.authority);
const fingerprint = authority.fingerprint;

async function setUp(options: StubOptions = {}) {
  const stub = await startStubServer({
    tls: certificates.server,
    caCertificate: certificates.authority,
    ...options,
  });
  onTestFinished(() => stub.close());
  const folder = await mkdtemp(join(tmpdir(), 'trust-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const files = {
    caFile: join(folder, 'etc/ssl/ca.crt'),
    agentConf: join(folder, 'etc/agent.conf'),
    systemCaFile: join(folder, 'system/rancherAddedCA.crt'),
  };
  const connection = createTestConnection({ limits: { HTTP_TOTAL: 5_000 } });
  let refreshed = 0;
  const establish = async (given: string | undefined, url = stub.registrationUrl, trusts: TlsTrust = 'all') =>
    await establishTrust(connection, {
      url,
      fingerprint: given,
      files,
      trusts,
      createClient: (trust) =>
        createHttpClient({ ...connection, environment: { AGENT_TLS_TRUST: trusts }, trust }),
      refreshSystemStore: () => {
        refreshed++;
        return Promise.resolve();
      },
    });
  const place = async (text: string) => {
    await mkdir(dirname(files.caFile), { recursive: true });
    await writeFile(files.caFile, text);
  };
  return { stub, files, connection, establish, place, refreshed: () => refreshed };
}

describe('a server with a certificate of its own', () => {
  it.each([
    ['as openssl prints it', fingerprint],
    ['in lower case', fingerprint.toLowerCase()],
    ['without colons', fingerprint.replaceAll(':', '')],
    ['as SHA-256', authority.fingerprint256],
  ])('is trusted by the fingerprint %s, and the certificate installed', async (_name, given) => {
    const { stub, files, establish, refreshed } = await setUp();
    const trust = await establish(given);
    expect(trust.ca.map((pem) => new X509Certificate(pem).fingerprint)).toEqual([fingerprint]);
    expect(trust.unverified).toBeUndefined();
    expect(await readFile(files.caFile, 'utf8')).toBe(trust.ca[0]);
    expect(await readFile(files.systemCaFile, 'utf8')).toBe(trust.ca[0]);
    expect(await readFile(files.agentConf, 'utf8')).toBe(
      `export CURL_CA_BUNDLE=${files.caFile}\nexport REQUESTS_CA_BUNDLE=${files.caFile}\n`,
    );
    expect(refreshed()).toBe(1);
    expect(stub.requestsTo('ca-certificate').map(({ url }) => url)).toEqual(['/v1/scripts/ca.crt']);
  });

  it('ca.crt twice: only the first certificate is kept, whatever follows it', async () => {
    for (const second of [certificates.authority, certificates.stranger]) {
      const { establish } = await setUp({ caCertificate: `text\n${certificates.authority}${second}` });
      expect((await establish(fingerprint)).ca.join('').match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
    }
  });

  it('a foreign certificate before the right one is not covered by the fingerprint', async () => {
    const { establish } = await setUp({
      caCertificate: `${certificates.stranger}${certificates.authority}`,
    });
    expect((await rejectionOf(establish(fingerprint))).message).toContain('another fingerprint');
  });

  it('the second start uses the file and asks nobody', async () => {
    const { stub, files, establish } = await setUp();
    const first = await establish(fingerprint);
    const asked = stub.requests.length;
    expect(await establish(undefined)).toEqual(first);
    expect(stub.requests.length).toBe(asked);
    expect((await readFile(files.agentConf, 'utf8')).split('\n')).toHaveLength(3);
  });
});

describe('each failure has a message of its own, and nothing is installed', () => {
  it.each<[string, StubOptions, string, RegExp, new (message: string) => Error]>([
    [
      'a wrong fingerprint',
      {},
      'AA:'.repeat(19) + 'AA',
      /another fingerprint than CA_FINGERPRINT/,
      ConfigurationError,
    ],
    [
      '404',
      { caCertificate: undefined },
      fingerprint,
      /does not offer it \(status 404\)/,
      ConfigurationError,
    ],
    [
      'a web page',
      { caCertificate: '<html>' },
      fingerprint,
      /does not answer with a certificate/,
      ConfigurationError,
    ],
    ['an expired server', { tls: certificates.expired }, fingerprint, /has expired/, ServerUnavailableError],
    [
      'another host name',
      { tls: certificates.otherName },
      fingerprint,
      /another host name/,
      ServerUnavailableError,
    ],
    [
      'a certificate that did not sign the server',
      { caCertificate: certificates.stranger },
      new X509Certificate(certificates.stranger).fingerprint,
      /unknown authority/,
      ServerUnavailableError,
    ],
    ['a fingerprint that is none', {}, 'AA:BB', /is not a fingerprint/, ConfigurationError],
  ])('%s', async (_name, options, given, words, kind) => {
    const { files, establish, refreshed } = await setUp(options);
    const error = await rejectionOf(establish(given));
    expect(error.message).toMatch(words);
    expect(error).toBeInstanceOf(kind);
    await expect(readFile(files.caFile)).rejects.toThrow('ENOENT');
    expect(refreshed()).toBe(0);
  });

  it('a file without a certificate', async () => {
    const { establish, place } = await setUp();
    await place('nonsense');
    const error = await rejectionOf(establish(fingerprint));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('holds no certificate');
  });
});

describe('where only ca.crt is trusted (AGENT_TLS_TRUST=ca.crt)', () => {
  it('a fingerprint is compared in any case, and what has it is trusted alone', async () => {
    const { stub, files, establish } = await setUp();
    const trust = await establish(fingerprint, stub.registrationUrl, 'ca.crt');
    expect(trust.ca.map((pem) => new X509Certificate(pem).fingerprint)).toEqual([fingerprint]);
    expect(await readFile(files.caFile, 'utf8')).toBe(trust.ca[0]);
    expect(stub.requestsTo('ca-certificate')).toHaveLength(1);
  });

  it('without ca.crt and without a fingerprint nobody is asked', async () => {
    const { stub, establish } = await setUp();
    const error = await rejectionOf(establish(undefined, stub.registrationUrl, 'ca.crt'));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('AGENT_TLS_TRUST=ca.crt');
    expect(stub.requests).toEqual([]);
    expect(await establish(undefined, 'http://127.0.0.1:1/v1', 'ca.crt')).toEqual({ ca: [] });
  });

  it('a ca.crt without the fingerprint that a person gave is refused, and one with it is not', async () => {
    const { stub, establish, place } = await setUp();
    const url = stub.registrationUrl;
    await place(certificates.stranger);
    const error = await rejectionOf(establish(fingerprint, url, 'ca.crt'));
    expect(error.message).toMatch(/no certificate in .*ca\.crt has the fingerprint in CA_FINGERPRINT/);
    // As before where everybody is trusted, and without a fingerprint.
    expect((await establish(fingerprint, url)).ca).toEqual([certificates.stranger]);
    expect((await establish(undefined, url, 'ca.crt')).ca).toEqual([certificates.stranger]);
    await place(certificates.stranger + certificates.authority);
    expect((await establish(fingerprint, url, 'ca.crt')).ca).toHaveLength(1);
  });
});

it('without other programs to serve, the store of the system is left alone', async () => {
  const { stub, files, connection, place } = await setUp();
  await place(certificates.authority);
  const trust = await establishTrust(connection, {
    url: stub.registrationUrl,
    fingerprint: undefined,
    files,
    trusts: 'all',
    createClient: (given) => createHttpClient({ ...connection, environment: {}, trust: given }),
  });
  expect(trust.ca).toEqual([certificates.authority]);
  await expect(readFile(files.systemCaFile)).rejects.toThrow('ENOENT');
  expect(await readFile(files.agentConf, 'utf8')).toContain('CURL_CA_BUNDLE');
});

it('the store of the system is made once, and again if that failed', async () => {
  const { stub, files, connection, place } = await setUp();
  await place(certificates.authority);
  let tries = 0;
  const establish = async () =>
    establishTrust(connection, {
      url: stub.registrationUrl,
      fingerprint: undefined,
      files,
      trusts: 'all',
      createClient: (given) => createHttpClient({ ...connection, environment: {}, trust: given }),
      refreshSystemStore: async () => {
        tries++;
        return tries === 1 ? Promise.reject(new Error('no such program')) : Promise.resolve();
      },
    });
  for (let turn = 0; turn < 4; turn++) await establish();
  expect(tries).toBe(2);
  expect(connection.lines.filter((line) => line.includes('no such program'))).toHaveLength(1);
});

describe('nothing is fetched', () => {
  it('without a fingerprint, or for http', async () => {
    const { stub, establish } = await setUp();
    expect(await establish(undefined)).toEqual({ ca: [] });
    expect(await establish('')).toEqual({ ca: [] });
    expect(await establish(fingerprint, stub.registrationUrl.replace('https', 'http'))).toEqual({ ca: [] });
    expect(stub.requests).toEqual([]);
  });

  it('while the server is down; it is waited for once, within the bounds', async () => {
    const { stub, establish, connection } = await setUp();
    await stub.pause();
    const error = await rejectionOf(establish(fingerprint));
    expect(error).toBeInstanceOf(ServerUnavailableError);
    expect(error.message).toMatch(/^could not reach .* \(connection refused\); giving up$/);
    expect(connection.lines.filter((line) => line.includes('connection refused'))).toHaveLength(1);
  });
});

it('a disk that cannot be written does not keep the host from its server', async () => {
  const { files, establish, connection } = await setUp();
  await writeFile(join(dirname(dirname(dirname(files.caFile))), 'etc'), 'in the way');
  expect((await establish(fingerprint)).ca).toHaveLength(1);
  expect(connection.lines.join('')).toContain('could not keep the certificate');
});

describe('fingerprints and certificates', () => {
  it('are read or refused', () => {
    expect(parseFingerprint('')).toBeUndefined();
    expect(parseFingerprint(fingerprint)?.algorithm).toBe('SHA-1');
    expect(parseFingerprint(authority.fingerprint256)?.algorithm).toBe('SHA-256');
    for (const text of ['AA', 'x'.repeat(40), 'A'.repeat(39), 'A'.repeat(41)]) {
      expect(() => parseFingerprint(text)).toThrow(ConfigurationError);
    }
    expect(
      readFirstCertificate('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'),
    ).toBeUndefined();
    expect(readFirstCertificate('')).toBeUndefined();
  });
});
