import { mkdir, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkCurl, judgeCurl } from '../../../../../src/agent/run/readiness/checks/curl.ts';
import { proveReadiness } from '../../../../../src/agent/run/readiness/readiness.ts';
import { runCommand } from '../../../../../src/host/processes.ts';
import { defaultLimits } from '../../../../../src/support/limits/limits.ts';
import { certificates } from '../../../../support/server/certificates.ts';
import { startStubServer } from '../../../../support/server/stub/stub-server.ts';
import { agentKeys } from '../../../../support/scenes/readiness-probe.ts';
import { scene, server, stageEachTest, prove } from './readiness-stage.ts';

stageEachTest();

describe("the way of the image's curl", () => {
  it('trusts what the host trusts, and less is a fault of its own', async () => {
    const secure = await startStubServer({ agents: [agentKeys], tls: certificates.server });
    const folder = join(scene.rancher, 'etc/ssl');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'ca.crt'), certificates.authority);
    await writeFile(join(scene.programs, 'other.crt'), certificates.stranger);
    try {
      expect((await prove({}, { url: `${secure.url}/v1` })).failure).toBeUndefined();
      const wrapper = `#!/bin/sh\nexec /usr/bin/curl --cacert '${scene.programs}/other.crt' "$@"\n`;
      await scene.put('curl', wrapper);
      const proof = await prove({}, { url: `${secure.url}/v1` });
      expect(proof).toMatchObject({
        passed: ['programs', 'server'],
        failure: { check: 'curl', fault: 'way', cause: 'ready-curl-tls' },
      });
      expect(proof.failure?.message).toContain("does not trust the server's certificate");
    } finally {
      await secure.close();
    }
  });

  it.each([
    ['a proxy that our client does not read', '--proxy http://127.0.0.1:1', 'way', 'ready-curl-connection'],
    ['a proxy whose name is not there', '--proxy http://no-such-name.invalid:1', 'way', 'ready-curl-proxy'],
    [
      'another name server',
      '--resolve 127.0.0.1:1:127.0.0.1 --connect-to ::no-such-name.invalid:',
      'way',
      'ready-curl-dns',
    ],
  ])('%s', async (_name, options, fault, cause) => {
    await scene.put('curl', `#!/bin/sh\nexec /usr/bin/curl ${options} "$@"\n`);
    const proof = await prove();
    expect(proof).toMatchObject({ passed: ['programs', 'server'], failure: { check: 'curl', fault, cause } });
  });

  it.each([
    ['exits with 127', '#!/bin/sh\nexit 127\n'],
    ['is no program', 'not a program\n\0'],
  ])('a curl that %s is a fault of the image', async (_name, text) => {
    await scene.put('curl', text);
    const { failure } = await prove();
    expect(failure).toMatchObject({ check: 'curl', fault: 'image', cause: 'ready-curl-broken' });
  });

  it('a curl that hangs is ended, with all that it has started', async () => {
    await scene.put('curl', '#!/bin/sh\nsleep 4711 &\nwait\n');
    const proof = await proveReadiness(scene.probe(`${server.url}/v1`, {}, { READY_REQUEST: 600 }), {
      sideBySide: true,
    });
    expect(proof.failure).toMatchObject({ check: 'curl', fault: 'server', cause: 'ready-curl-no-answer' });
    const { execFileSync } = await import('node:child_process');
    expect(execFileSync('sh', ['-c', 'pgrep -f "^sleep 4711$" || true'], { encoding: 'utf8' })).toBe('');
  });

  it('a server that is silent to curl alone is not the image’s fault', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    await scene.put('curl', `#!/bin/sh\nexec /usr/bin/curl --connect-to '::127.0.0.1:${port}' "$@"\n`);
    const { failure } = await prove();
    silent.close();
    expect(failure).toMatchObject({ check: 'curl', fault: 'server', cause: 'ready-curl-no-answer' });
  });

  it('a proxy that is silent to curl alone is named as well', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const failure = await checkCurl({
      cattleUrl: 'http://rancher.invalid/v1',
      environment: { PATH: process.env['PATH'] ?? '', http_proxy: `http://me:hunter2@127.0.0.1:${port}` },
      limits: { ...defaultLimits, READY_REQUEST: 1_000 },
      run: runCommand,
      signal: new AbortController().signal,
      scrub: (text) => text,
    });
    silent.close();
    expect(failure).toMatchObject({ fault: 'server', cause: 'ready-curl-no-answer' });
    expect(failure?.message).toContain(`by way of the proxy http://127.0.0.1:${port}`);
    expect(failure?.hint).toContain(`the proxy http://127.0.0.1:${port}:`);
    expect(JSON.stringify(failure)).not.toContain('hunter2');
  });

  const answered = (code: number, text = '#!/bin/bash\n', connect = 0): string =>
    `${text}\nreadiness-of-curl ${code} ${connect} 0.001\n`;

  it.each([
    [0, answered(200), '', undefined, undefined],
    [0, answered(200, '<html>'), '', 'way', 'ready-curl-page'],
    [0, answered(200, ''), '', 'way', 'ready-curl-page'],
    [0, 'x'.repeat(1000), '', 'way', 'ready-curl-page'],
    [0, answered(302), '', 'way', 'ready-curl-refused'],
    [0, answered(403), '', 'way', 'ready-curl-refused'],
    [0, answered(407), '', 'way', 'ready-curl-proxy'],
    [0, answered(429), '', 'server', 'ready-curl-busy'],
    [0, answered(503), '', 'server', 'ready-curl-busy'],
    [5, answered(0), 'curl: (5) Could not resolve proxy: p', 'way', 'ready-curl-proxy'],
    [6, answered(0), 'curl: (6) Could not resolve host: s', 'way', 'ready-curl-dns'],
    [7, answered(0), 'curl: (7) Failed to connect', 'way', 'ready-curl-connection'],
    [28, '\nreadiness-of-curl 000 000 0,000\n', '', 'way', 'ready-curl-connection'],
    [28, answered(0), '', 'server', 'ready-curl-no-answer'],
    [35, answered(0), '', 'way', 'ready-curl-tls'],
    [51, answered(0), '', 'way', 'ready-curl-tls'],
    [52, answered(0), '', 'server', 'ready-curl-no-answer'],
    [56, answered(0), '', 'server', 'ready-curl-no-answer'],
    [
      56,
      answered(0, '', 407),
      'curl: (56) Received HTTP code 407 from proxy after CONNECT',
      'way',
      'ready-curl-proxy',
    ],
    [60, answered(0), '', 'way', 'ready-curl-tls'],
    [77, answered(0), '', 'way', 'ready-curl-tls'],
    [2, '', 'curl: error while loading', 'image', 'ready-curl-broken'],
    [139, '', '', 'image', 'ready-curl-broken'],
    [93, '', '', 'way', 'ready-curl-connection'],
  ])('exit status %i with %j is judged', (status, stdout, stderr, fault, cause) => {
    const failure = judgeCurl({ status, stdout, stderr });
    expect([failure?.fault, failure?.cause]).toEqual([fault, cause]);
  });
});
