import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { proveAgain, proveReadiness } from '../../../../../src/agent/run/readiness/readiness.ts';
import { readinessChecks } from '../../../../../src/agent/run/readiness/result.ts';
import { certificates } from '../../../../support/server/certificates.ts';
import type { Fault } from '../../../../support/server/stub/stub-faults.ts';
import { startStubServer } from '../../../../support/server/stub/stub-server.ts';
import { agentKeys } from '../../../../support/scenes/readiness-probe.ts';
import { scene, server, stageEachTest, prove } from './readiness-stage.ts';

stageEachTest();

describe('an image that can work', () => {
  it.each([true, false])(
    'passes every check, with its script staged (side by side: %s)',
    async (sideBySide) => {
      const before = server.requests.length;
      const proof = await proveReadiness(scene.probe(`${server.url}/v1`), { sideBySide });
      expect(proof).toMatchObject({ passed: readinessChecks });
      expect(proof.failure).toBeUndefined();
      const { staged } = proof;
      expect(staged?.bootstrap.script).toContain('REQUIRED_IMAGE="rancher/agent:v1.2.11"');
      expect(await readFile(staged?.script.file ?? '', 'utf8')).not.toContain('rancher/agent:v1.2.11');
      await staged?.script.dispose();
      expect(await readdir(scene.staging)).toEqual([]);
      // Two small questions and no effect at the server.
      const asked = server.requests.slice(before).map(({ method, endpoint }) => `${method} ${endpoint}`);
      expect(asked.sort()).toEqual(['GET bootstrap', 'GET bootstrap', 'GET configcontent-schema']);
    },
  );

  it('writes nothing on the host, not even with a certificate there', async () => {
    const secure = await startStubServer({ agents: [agentKeys], tls: certificates.server });
    const folder = join(scene.rancher, 'etc/ssl');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'ca.crt'), certificates.authority);
    try {
      expect((await prove({}, { url: `${secure.url}/v1` })).failure).toBeUndefined();
      expect((await readdir(scene.rancher, { recursive: true })).sort()).toEqual([
        'etc',
        'etc/ssl',
        'etc/ssl/ca.crt',
      ]);
    } finally {
      await secure.close();
    }
  });

  it('asks nothing by plain http with AGENT_REQUIRE_HTTPS, by curl neither', async () => {
    const before = server.requests.length;
    const { failure } = await prove({ AGENT_REQUIRE_HTTPS: 'true' });
    expect(failure).toMatchObject({ check: 'server', fault: 'way' });
    expect(failure?.message).toContain('AGENT_REQUIRE_HTTPS is set');
    expect(server.requests.length).toBe(before);
  });

  it('sends no keys by curl, and has no secret in its arguments', async () => {
    const log = join(scene.programs, 'arguments');
    await scene.put('curl', `#!/bin/sh\necho "$*" >'${log}'\nexec /usr/bin/curl "$@"\n`);
    const before = server.requests.length;
    expect((await prove()).failure).toBeUndefined();
    expect(await readFile(log, 'utf8')).toBe('--config -\n');
    const [byCurl] = server.requests.slice(before).filter(({ userAgent }) => userAgent?.startsWith('curl/'));
    expect(byCurl).toMatchObject({ endpoint: 'bootstrap', authorization: undefined });
  });
});

describe('the programs', () => {
  it.each(['bash', 'curl', 'tar', 'flock'])(
    'without %s the image is at fault, before anything else',
    async (program) => {
      const proof = await prove({ PATH: await scene.pathWithout(program) }, { url: 'http://127.0.0.1:1/v1' });
      expect(proof).toMatchObject({
        passed: [],
        failure: { check: 'programs', fault: 'image', cause: 'ready-programs-missing' },
      });
      expect(proof.failure?.message).toContain(`there is no ${program} in this image`);
    },
  );

  it('what only some servers call is a warning', async () => {
    const proof = await prove({ PATH: await scene.pathWithout('modprobe') });
    expect(proof.failure).toBeUndefined();
    expect(proof.warnings.join()).toContain('there is no modprobe in this image');
  });
});

describe('the way to the server, by our own client', () => {
  it.each<readonly [string, Fault, string, string]>([
    ['403', { status: 403 }, 'way', 'ready-server-refused'],
    ['a redirect to elsewhere', 'redirect-elsewhere', 'way', 'ready-server-refused'],
    ['407', { status: 407 }, 'way', 'ready-server-proxy'],
    ['a web page', 'html200', 'way', 'ready-server-page'],
    ['503', { status: 503 }, 'server', 'ready-server-busy'],
    ['500', { status: 500, body: 'html' }, 'server', 'ready-server-busy'],
    ['no answer', 'hang-accept', 'server', 'ready-server-no-answer'],
    ['a reset', 'reset', 'server', 'ready-server-no-answer'],
  ])('%s', async (_name, fault, whose, cause) => {
    server.fault('any', fault);
    expect(await prove()).toMatchObject({
      passed: ['programs'],
      failure: { check: 'server', fault: whose, cause },
    });
  });

  it('429 says how long to wait', async () => {
    server.fault('any', { status: 429, retryAfter: '17' });
    const { failure } = await prove();
    expect(failure).toMatchObject({ fault: 'server', cause: 'ready-server-busy', retryAfterMs: 17_000 });
  });

  it.each([
    ['a name that is not there', 'http://no-such-name.invalid/v1', {}, 'ready-server-dns'],
    ['a port where nobody listens', 'http://127.0.0.1:1/v1', {}, 'ready-server-connection'],
    ['a proxy that leads nowhere', undefined, { http_proxy: 'http://127.0.0.1:1' }, 'ready-server-proxy'],
  ] as const)('%s', async (_name, url, environment, cause) => {
    const proof = await prove(environment, url === undefined ? {} : { url });
    expect(proof).toMatchObject({ passed: ['programs'], failure: { check: 'server', fault: 'way', cause } });
    expect(proof.failure?.hint).toBeDefined();
  });

  it('a proxy that takes the request and hangs is named, without its password', async () => {
    const proxy = createServer(() => undefined);
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const { port } = proxy.address() as AddressInfo;
    const environment = { http_proxy: `http://me:hunter2@127.0.0.1:${port}` };
    const probe = scene.probe('http://rancher.invalid/v1', environment, { READY_REQUEST: 500 });
    const { failure } = await proveReadiness(probe, { sideBySide: false });
    proxy.close();
    expect(failure).toMatchObject({ check: 'server', fault: 'server', cause: 'ready-server-no-answer' });
    expect(failure?.hint).toContain(`the proxy http://127.0.0.1:${port}:`);
    expect(failure?.hint).not.toContain('the server accepts');
    expect(JSON.stringify(failure)).not.toContain('hunter2');
  });

  it('a certificate that is not trusted', async () => {
    const secure = await startStubServer({ agents: [agentKeys], tls: certificates.server });
    try {
      const proof = await prove({}, { url: `${secure.url}/v1` });
      expect(proof.failure).toMatchObject({ check: 'server', fault: 'way', cause: 'ready-server-tls' });
    } finally {
      await secure.close();
    }
  });

  it('a server in trouble gets one request, once it was seen to be', async () => {
    server.fault('any', { status: 503 });
    const before = server.requests.length;
    await prove({}, { sideBySide: false });
    expect(server.requests).toHaveLength(before + 1);
  });
});

describe('the agent keys', () => {
  it.each(['on', 'off'] as const)('the server does not know them (access control %s)', async (auth) => {
    Object.assign(server.behaviour, { auth, agentKeys: 'revoked' });
    const proof = await prove();
    expect(proof).toMatchObject({
      passed: ['programs', 'server', 'curl'],
      failure: { check: 'keys', fault: 'keys', cause: 'ready-keys-revoked' },
    });
    expect(JSON.stringify(proof)).not.toContain(agentKeys.secretKey);
  });

  it.each<readonly [string, Fault, string, string]>([
    ['a page that says 401', { status: 401, body: 'html' }, 'way', 'ready-keys-refused'],
    ['503', { status: 503 }, 'server', 'ready-keys-busy'],
  ])('%s says nothing about them', async (_name, fault, whose, cause) => {
    server.fault('configcontent-schema', fault);
    expect((await prove()).failure).toMatchObject({ check: 'keys', fault: whose, cause });
  });

  it('the cheap request again tells when the server has gone', async () => {
    expect(await proveAgain(scene.probe(`${server.url}/v1`))).toBeUndefined();
    expect(await proveAgain(scene.probe('http://127.0.0.1:1/v1'))).toMatchObject({ fault: 'way' });
  });
});

describe('the script', () => {
  it.each<readonly [string, Fault, string, string]>([
    ['what no bash can read', { text: '#!/bin/bash\nif true; then\n' }, 'way', 'ready-script-not-whole'],
    ['a text without its last line', { text: '#!/bin/bash\necho hal' }, 'way', 'ready-script-not-whole'],
    ['NUL bytes', { text: '#!/bin/bash\necho \0\n' }, 'way', 'ready-script-not-whole'],
    ['JSON', { text: '{"type":"collection"}\n' }, 'way', 'ready-script-page'],
    ['another script', { text: '#!/usr/bin/python\n' }, 'way', 'ready-script-page'],
  ])('%s', async (_name, fault, whose, cause) => {
    server.fault('bootstrap', fault);
    expect(await prove()).toMatchObject({
      passed: ['programs', 'server', 'curl', 'keys'],
      failure: { check: 'script', fault: whose, cause },
    });
    expect(await readdir(scene.staging)).toEqual([]);
  });

  it.each([
    [
      'exits with an error',
      '#!/bin/sh\necho bash: cannot load a library >&2\nexit 127\n',
      'cannot load a library',
    ],
    ['is no program', 'not a program\n\0', ''],
  ])('a bash that %s is a fault of the image', async (_what, text, words) => {
    await scene.put('bash', text);
    vi.stubEnv('PATH', `${scene.programs}:${process.env['PATH'] ?? ''}`);
    const { failure } = await prove();
    vi.unstubAllEnvs();
    expect(failure).toMatchObject({ check: 'script', fault: 'image', cause: 'ready-script-no-bash' });
    expect(failure?.message).toContain(words);
    expect(await readdir(scene.staging)).toEqual([]);
  });

  it('nothing stays staged when another check fails', async () => {
    Object.assign(server.behaviour, { agentKeys: 'revoked' });
    await prove();
    await expect.poll(async () => readdir(scene.staging)).toEqual([]);
  });
});
