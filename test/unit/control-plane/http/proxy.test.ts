import { createServer, request as forward } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { chooseProxy, readProxyPasswords } from '../../../../src/control-plane/http/proxy.ts';
import { explainServerFault } from '../../../../src/control-plane/http/server-fault.ts';
import { ConfigurationError } from '../../../../src/support/errors.ts';
import { certificates } from '../../../support/server/certificates.ts';
import { startSocksServer } from '../../../support/server/socks-server.ts';
import { startStubServer } from '../../../support/server/stub/stub-server.ts';
import { createTestConnection, rejectionOf } from '../../../support/server/test-connection.ts';

const choose = (url: string, environment: Record<string, string>) =>
  chooseProxy(new URL(url), environment)?.host;

describe('the proxy of the environment', () => {
  it.each<[string, Record<string, string>, string | undefined]>([
    ['http://h/', {}, undefined],
    ['http://h/', { http_proxy: 'http://p:1' }, 'p:1'],
    ['http://h/', { HTTP_PROXY: 'http://p:1' }, 'p:1'],
    ['http://h/', { http_proxy: 'http://small:1', HTTP_PROXY: 'http://big:1' }, 'small:1'],
    ['http://h/', { https_proxy: 'http://p:1' }, undefined],
    ['https://h/', { https_proxy: 'http://p:1' }, 'p:1'],
    ['https://h/', { HTTPS_PROXY: 'http://p:1', http_proxy: 'http://q:1' }, 'p:1'],
    ['https://h/', { ALL_PROXY: 'http://p:1' }, 'p:1'],
    ['http://h/', { http_proxy: 'p:3128' }, 'p:3128'],
    ['http://h/', { http_proxy: '' }, undefined],
  ])('for %s with %j is %s', (url, environment, host) => {
    expect(choose(url, environment)).toBe(host);
  });

  it.each<[string, string, boolean]>([
    ['*', 'http://h/', true],
    [' * ', 'http://h/', true],
    ['*,other', 'http://h/', false],
    ['*,h', 'http://h/', true],
    ['*,*', 'http://h/', false],
    ['fd00:0::1', 'http://[fd00::1]/', true],
    ['h', 'http://h/', true],
    ['h', 'http://other/', false],
    ['example.com', 'http://rancher.example.com/', true],
    ['.example.com', 'http://rancher.example.com/', true],
    ['.example.com', 'http://example.com/', true],
    ['*.example.com', 'http://rancher.example.com/', true],
    ['example.com', 'http://notexample.com/', false],
    ['EXAMPLE.com', 'http://rancher.Example.COM/', true],
    ['h:8080', 'http://h:8080/', true],
    ['h:8080', 'http://h/', false],
    ['h:443', 'https://h/', true],
    ['10.0.0.0/8', 'http://10.1.2.3/', true],
    ['10.0.0.0/8', 'http://11.1.2.3/', false],
    ['10.0.0.0/99', 'http://10.1.2.3/', false],
    ['fd00::/8', 'http://[fd12::1]/', true],
    ['10.1.2.3', 'http://10.1.2.3/', true],
    ['2.3', 'http://10.1.2.3/', false],
    ['::1', 'http://[::1]/', true],
    ['[::1]:80', 'http://[::1]/', true],
    ['a, b ,h', 'http://h/', true],
    ['', 'http://h/', false],
    [',', 'http://h/', false],
  ])('NO_PROXY=%s for %s: directly %s', (noProxy, url, directly) => {
    const proxies = { http_proxy: 'http://p:1', https_proxy: 'http://p:1' };
    expect(choose(url, { ...proxies, NO_PROXY: noProxy }) === undefined).toBe(directly);
    expect(choose(url, { ...proxies, no_proxy: noProxy }) === undefined).toBe(directly);
  });

  it('an empty NO_PROXY hides no no_proxy', () => {
    const environment = { http_proxy: 'http://p:1', NO_PROXY: '', no_proxy: 'server' };
    expect(choose('http://server/', environment)).toBeUndefined();
  });

  it('refuses SOCKS 4 in words', () => {
    expect(() => choose('http://h/', { http_proxy: 'socks4://p:1' })).toThrow('SOCKS 4 is not supported');
  });

  it.each(['ftp://p', 'http://', '::::'])('refuses %s without repeating it', (value) => {
    expect(() => choose('http://h/', { http_proxy: value })).toThrow(ConfigurationError);
  });

  it('gives away its passwords to the secrets', () => {
    expect(readProxyPasswords({ http_proxy: 'http://u:p%40ssword@p:1', PATH: '/bin' })).toEqual([
      'p%40ssword',
      'p@ssword',
    ]);
  });
});

describe('requests through a proxy', () => {
  it('go to it in full, with its credentials, and never show them', async () => {
    const stub = await startStubServer();
    onTestFinished(() => stub.close());
    const proxy = await startProxy();
    const { client, lines, secrets } = createTestConnection({
      environment: { http_proxy: `http://user:proxypassword@127.0.0.1:${proxy.port}` },
    });
    const response = await client.request({ method: 'GET', url: `${stub.url}/v1` });
    expect(response.status).toBe(200);
    expect(proxy.seen).toEqual([`GET ${stub.url}/v1`]);
    expect(proxy.authorizations).toEqual([`Basic ${Buffer.from('user:proxypassword').toString('base64')}`]);
    proxy.close();
    const error = await rejectionOf(client.request({ method: 'GET', url: `${stub.url}/v1` }));
    expect(error.message).toContain('connection refused');
    expect(error.message + lines.join('')).not.toContain('proxypassword');
    expect(secrets.scrub('proxypassword')).toBe('***');
  });

  it('are tunnelled for https, and the certificate of the server is checked all the same', async () => {
    const stub = await startStubServer({ tls: certificates.server });
    onTestFinished(() => stub.close());
    const proxy = await startProxy();
    const environment = { https_proxy: `http://127.0.0.1:${proxy.port}` };
    const limits = { HTTP_TOTAL: 5_000 };
    const trusting = createTestConnection({ environment, limits, trust: { ca: [certificates.authority] } });
    expect((await trusting.client.request({ method: 'GET', url: `${stub.url}/v1` })).status).toBe(200);
    expect(proxy.seen).toEqual([`CONNECT 127.0.0.1:${stub.port}`]);
    const wary = createTestConnection({ environment, limits });
    const error = await rejectionOf(wary.client.request({ method: 'GET', url: `${stub.url}/v1` }));
    expect(error.message).toContain('unknown authority');
  });
});

describe('a real SOCKS 5 server', () => {
  const secret = { user: 'w@lter', password: 'p%:ssword-of-socks' };
  const login = `${encodeURIComponent(secret.user)}:${encodeURIComponent(secret.password)}`;
  const limits = { HTTP_CONNECT: 2_000, HTTP_TOTAL: 5_000 };

  it.each([
    ['http', undefined],
    ['http', secret],
    ['https', undefined],
    ['https', secret],
  ] as const)('takes requests for %s, login %j', async (scheme, expected) => {
    const stub = await startStubServer(scheme === 'https' ? { tls: certificates.server } : {});
    onTestFinished(() => stub.close());
    const socks = await startSocksServer(expected);
    onTestFinished(() => socks.close());
    const value = `socks5://${expected === undefined ? '' : `${login}@`}127.0.0.1:${socks.port}`;
    const { client, lines, secrets } = createTestConnection({
      environment: { [`${scheme}_proxy`]: value },
      limits,
      trust: { ca: [certificates.authority] },
    });
    const url = stub.url.replace('127.0.0.1', 'localhost');
    expect((await client.request({ method: 'GET', url: `${url}/v1` })).status).toBe(200);
    expect(socks.targets).toEqual([`localhost:${stub.port}`]);
    expect(lines.join('')).not.toContain('ssword-of-socks');
    if (expected !== undefined) expect(secrets.scrub(expected.password)).toBe('***');
  });

  it('that does not take the password is named as the proxy that refuses', async () => {
    const socks = await startSocksServer(secret);
    onTestFinished(() => socks.close());
    const { client } = createTestConnection({
      environment: { http_proxy: `socks5://walter:somethingelse@127.0.0.1:${socks.port}` },
      limits,
    });
    const error = await rejectionOf(client.request({ method: 'GET', url: 'http://localhost:9/v1' }));
    expect(explainServerFault(error).kind).toBe('proxy');
    expect(error.message).toContain('the proxy refused the connection, by way of the proxy');
    expect(error.message).not.toContain('somethingelse');
  });

  it('that is not there is named as the proxy', async () => {
    const { client } = createTestConnection({ environment: { http_proxy: 'socks5://127.0.0.1:9' }, limits });
    const error = await rejectionOf(client.request({ method: 'GET', url: 'http://localhost:9/v1' }));
    expect(explainServerFault(error)).toMatchObject({ kind: 'proxy' });
    expect(error.message).toContain('connection refused');
  });
});

async function startProxy() {
  const seen: string[] = [];
  const authorizations: (string | undefined)[] = [];
  const server = createServer((incoming, outgoing) => {
    seen.push(`${incoming.method ?? ''} ${incoming.url ?? ''}`);
    authorizations.push(incoming.headers['proxy-authorization']);
    const onward = forward(incoming.url ?? '', { method: incoming.method ?? 'GET' }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
    });
    incoming.pipe(onward);
  });
  server.on('connect', (incoming, socket, head) => {
    seen.push(`CONNECT ${incoming.url ?? ''}`);
    const [host = '', port = ''] = (incoming.url ?? '').split(':');
    const onward = connect(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      onward.write(head);
      socket.pipe(onward).pipe(socket);
    });
    socket.on('error', () => onward.destroy());
    onward.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  onTestFinished(close);
  return { port: (server.address() as AddressInfo).port, seen, authorizations, close };
}
