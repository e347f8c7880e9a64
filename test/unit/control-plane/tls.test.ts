import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { explainNetworkError, isCertificateProblem } from '../../../src/control-plane/http/network-reason.ts';
import { explainServerFault } from '../../../src/control-plane/http/server-fault.ts';
import { waitForServer } from '../../../src/control-plane/registration/wait.ts';
import { ExitCode } from '../../../src/support/errors.ts';
import { certificates } from '../../support/server/certificates.ts';
import { createTestConnection, rejectionOf } from '../../support/server/test-connection.ts';
import { startForwardProxy } from '../../support/server/forward-proxy.ts';
import { startNginx } from '../../support/server/nginx.ts';

const { authority, intermediate, chained, chain, shortKey, sha1, rsa, shortGroup, stranger } = certificates;

interface ServerOptions {
  readonly pair: { readonly cert: string; readonly key: string };
  readonly protocol?: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2';
  /** Key exchange by Diffie-Hellman with 1024 bits only. */
  readonly shortGroup?: true;
}

/** Requests that came through TLS, by server. */
interface TlsServer {
  readonly url: string;
  readonly requests: () => number;
}

const starters: Readonly<Record<'node' | 'nginx', (options: ServerOptions) => Promise<TlsServer>>> = {
  async node({ pair, protocol }) {
    let requests = 0;
    const server = createHttpsServer(
      {
        ...pair,
        ciphers: 'DEFAULT@SECLEVEL=0',
        minVersion: protocol ?? 'TLSv1',
        maxVersion: protocol ?? 'TLSv1.3',
      },
      (_request, response) => {
        requests++;
        response.end('well');
      },
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return {
      url: `https://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
      requests: () => requests,
    };
  },
  async nginx({ pair, protocol, shortGroup: isShort }) {
    const ciphers = isShort === true ? 'DHE-RSA-AES128-GCM-SHA256' : 'DEFAULT';
    const nginx = await startNginx({
      ...pair,
      ...(isShort === true ? { dhparam: shortGroup } : {}),
      lines: [
        `ssl_protocols ${{ TLSv1: 'TLSv1', 'TLSv1.1': 'TLSv1.1', 'TLSv1.2': 'TLSv1.2' }[protocol ?? 'TLSv1.2']};`,
        `ssl_ciphers ${ciphers}:@SECLEVEL=0;`,
      ],
    });
    onTestFinished(() => nginx.close());
    return { url: `${nginx.url}/v1`, requests: () => Number.NaN };
  },
};

function connectionWith(ca: readonly string[], environment: Readonly<Record<string, string>> = {}) {
  return createTestConnection({
    trust: { ca },
    environment,
    limits: { HTTP_CONNECT: 4_000, HTTP_TOTAL: 5_000, SERVER_TRIES: 50, SERVER_TOTAL: 60_000 },
  });
}

describe.each(['node', 'nginx'] as const)('a server that is a real %s', (kind) => {
  const start = starters[kind];

  it.each([
    ['its own certificate only', chained, 'the same', [chained.cert]],
    ['its own certificate only', chained, 'the intermediate authority', [intermediate]],
    ['its own certificate only', chained, 'the whole chain', [intermediate + authority]],
    ['the whole chain', chain, 'its own certificate', [chained.cert]],
    ['the whole chain', chain, 'the intermediate authority', [intermediate]],
    ['the whole chain', chain, 'the root authority', [authority]],
  ])('that sends %3$s is trusted by a ca.crt with %5$s', async (_sends, pair, _holds, ca) => {
    const server = await start({ pair });
    const { client } = connectionWith(ca);
    expect((await client.request({ method: 'GET', url: server.url })).text).toBe('well');
  });

  it.each([
    ['nothing', []],
    ['another authority', [stranger]],
    ['the root authority, while the intermediate is missing', [authority]],
  ])('that sends its own certificate only is not trusted by a ca.crt with %s', async (_holds, ca) => {
    const server = await start({ pair: chained });
    const error = await rejectionOf(connectionWith(ca).client.request({ method: 'GET', url: server.url }));
    expect(explainNetworkError(error).kind).toBe('untrusted');
  });

  const weak: readonly (readonly [string, ServerOptions, string])[] = [
    ['a short key', { pair: shortKey }, "the server's RSA key has 1024 bits"],
    ['a certificate signed with SHA-1', { pair: sha1 }, 'the certificate is signed with SHA-1'],
    ['TLS 1.1', { pair: rsa, protocol: 'TLSv1.1' }, 'the server speaks only TLS 1.1'],
    ['TLS 1.0', { pair: rsa, protocol: 'TLSv1' }, 'the server speaks only TLS 1.0'],
    [
      'TLS 1.0 and a short key',
      { pair: shortKey, protocol: 'TLSv1' },
      "the server speaks only TLS 1.0, and the server's RSA key has 1024 bits",
    ],
    ...(kind === 'nginx'
      ? [
          [
            'a short Diffie-Hellman key',
            { pair: rsa, shortGroup: true },
            "the server's Diffie-Hellman key has 1024 bits",
          ] as const,
        ]
      : []),
  ];

  it.each(weak)(
    'that has %s is named at once, with what to do, and gets no request',
    async (_what, options, words) => {
      const server = await start(options);
      const connection = connectionWith([authority]);
      const begun = performance.now();
      const error = await rejectionOf(waitForServer(connection, { url: server.url, hasToken: false }));
      expect(performance.now() - begun).toBeLessThan(4_000);
      expect(error.message).toContain(words);
      expect(error).toMatchObject({
        exitCode: ExitCode.unavailable,
        hint: expect.stringContaining('AGENT_TLS_MIN=legacy') as string,
      });
      // Nothing was waited for.
      expect(connection.lines).toEqual([]);
      if (kind === 'node') expect(server.requests()).toBe(0);

      const refused = await rejectionOf(connection.client.request({ method: 'GET', url: server.url }));
      expect(explainServerFault(refused)).toMatchObject({ kind: 'tls', sentence: words });
      expect(isCertificateProblem(explainNetworkError(refused))).toBe(true);
    },
  );

  it.each(weak)('that has %s is accepted with AGENT_TLS_MIN=legacy', async (_what, options) => {
    const server = await start(options);
    const { client } = connectionWith([authority], { AGENT_TLS_MIN: 'legacy' });
    expect((await client.request({ method: 'GET', url: server.url })).text).toBe('well');
  });

  it('of another authority is not accepted with AGENT_TLS_MIN=legacy either', async () => {
    const server = await start({ pair: shortKey, protocol: 'TLSv1' });
    const { client } = connectionWith([stranger], { AGENT_TLS_MIN: 'legacy' });
    const error = await rejectionOf(client.request({ method: 'GET', url: server.url }));
    expect(error.message).toContain('unknown authority');
  });
});

it('what is too weak is named through a proxy with a password as well', async () => {
  const server = await starters.node({ pair: shortKey });
  const proxy = await startForwardProxy('127.0.0.1');
  onTestFinished(() => proxy.close());
  const { client } = connectionWith([authority], { https_proxy: proxy.url });
  const error = await rejectionOf(client.request({ method: 'GET', url: server.url }));
  expect(error.message).toContain("the server's RSA key has 1024 bits, by way of the proxy http://127.0.0.1");
  expect(error.message).not.toContain(proxy.password);
  expect(server.requests()).toBe(0);
});

it('a ca.crt that was replaced counts for a client that lives on, without a restart', async () => {
  const server = await starters.node({ pair: certificates.server });
  let onHost: string | undefined = stranger;
  let reads = 0;
  const { client } = createTestConnection({
    trust: {
      ca: [stranger],
      reread: () => {
        reads++;
        return Promise.resolve(onHost);
      },
    },
    limits: { HTTP_CONNECT: 4_000, HTTP_TOTAL: 5_000 },
  });
  const ask = async () => client.request({ method: 'GET', url: server.url });
  expect((await rejectionOf(ask())).message).toContain('unknown authority');
  onHost = undefined;
  expect((await rejectionOf(ask())).message).toContain('unknown authority');
  onHost = authority;
  expect((await ask()).text).toBe('well');
  // While the server is trusted, nobody reads the disk.
  expect(reads).toBe(3);
  expect((await ask()).text).toBe('well');
  expect(reads).toBe(3);
});
