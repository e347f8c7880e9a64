import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { HttpResponse } from '../../../../src/control-plane/http/message.ts';
import { explainServerFault } from '../../../../src/control-plane/http/server-fault.ts';
import { certificates } from '../../../support/server/certificates.ts';
import { errorDocument, htmlPage, type Fault } from '../../../support/server/stub/stub-faults.ts';
import { startStubServer, type StubServer } from '../../../support/server/stub/stub-server.ts';
import { createTestConnection, rejectionOf } from '../../../support/server/test-connection.ts';

let stub: StubServer;
beforeAll(async () => {
  stub = await startStubServer();
});
afterAll(async () => stub.close());

/** A TCP server that does with its connections what a test says; its port. */
async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

async function faultOf(
  url: string,
  options: { environment?: Readonly<Record<string, string>>; ms?: number } = {},
) {
  const { client } = createTestConnection({
    environment: options.environment ?? {},
    limits: { HTTP_CONNECT: 1_000, HTTP_TOTAL: options.ms ?? 3_000 },
  });
  return explainServerFault(await rejectionOf(client.request({ method: 'GET', url })));
}

describe('whose fault a request is that got no answer', () => {
  it('a look-up that the image itself breaks is the fault of DNS, whatever code it has', () => {
    const cause = Object.assign(new Error('getaddrinfo EBUSY server'), {
      code: 'EBUSY',
      syscall: 'getaddrinfo',
    });
    expect(explainServerFault(new Error('failed', { cause }))).toMatchObject({ kind: 'dns' });
  });

  it('a name that nobody knows is the fault of DNS', async () => {
    const fault = await faultOf('http://no-such-server.invalid/v1', { ms: 20_000 });
    expect(fault.kind).toBe('dns');
    expect(fault.hint).toContain('resolv.conf');
  });

  it('a closed port is the fault of the connection', async () => {
    expect(await faultOf('http://127.0.0.1:9/v1')).toMatchObject({
      kind: 'connection',
      sentence: 'connection refused',
    });
  });

  it.each<[Fault, RegExp]>([
    ['reset', /connection reset|closed before/],
    ['hang-accept', /timed out/],
    ['hang-body', /timed out/],
    ['truncate', /closed before the answer was complete/],
  ])('%j after the request was sent is no answer', async (what, sentence) => {
    stub.fault('bootstrap', what, { times: 1 });
    const fault = await faultOf(`${stub.url}/v1/scripts/bootstrap`, { ms: 500 });
    expect(fault.kind).toBe('no-answer');
    expect(fault.sentence).toMatch(sentence);
  });

  it.each([
    ['http', 'http://127.0.0.1:9/v1'],
    ['https', 'https://127.0.0.1:9/v1'],
  ])('a proxy that is not there is the fault of the proxy, for %s', async (scheme, url) => {
    const fault = await faultOf(url, {
      environment: { [`${scheme}_proxy`]: 'http://me:secret@127.0.0.1:9' },
    });
    expect(fault.kind).toBe('proxy');
    expect(fault.sentence).toBe('connection refused, by way of the proxy http://127.0.0.1:9');
  });

  it.each(['403 Forbidden', '407 Proxy Authentication Required'])(
    'a proxy that answers %s to a tunnel is the fault of the proxy',
    async (status) => {
      const port = await listen(createServer((socket) => socket.end(`HTTP/1.1 ${status}\r\n\r\n`)));
      const environment = { https_proxy: `http://127.0.0.1:${port}` };
      const fault = await faultOf('https://127.0.0.1:9/v1', { environment });
      expect(fault).toMatchObject({ kind: 'proxy' });
      expect(fault.sentence).toContain('the proxy refused the connection');
    },
  );

  it('a proxy that asks for a password without a tunnel is the fault of the proxy', async () => {
    const port = await listen(
      createServer((socket) => socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')),
    );
    const fault = await faultOf('http://127.0.0.1:9/v1', {
      environment: { http_proxy: `http://127.0.0.1:${port}` },
    });
    expect(fault.kind).toBe('proxy');
  });

  it('a proxy variable that is no address is the fault of the proxy', async () => {
    const fault = await faultOf('http://127.0.0.1:9/v1', { environment: { http_proxy: 'ftp://p' } });
    expect(fault).toMatchObject({ kind: 'proxy', sentence: 'http_proxy is not a usable proxy URL' });
  });

  it('a certificate that is not trusted, or a port without TLS, is the fault of TLS', async () => {
    const secure = await startStubServer({ tls: certificates.server });
    onTestFinished(() => secure.close());
    expect(await faultOf(`${secure.url}/v1`)).toMatchObject({
      kind: 'tls',
      sentence: 'the TLS certificate is signed by an unknown authority',
    });
    expect(await faultOf(`${stub.url.replace('http:', 'https:')}/v1`)).toMatchObject({ kind: 'tls' });
  });

  it('a redirect to another server is refused, an answer without end is a page', async () => {
    stub.fault('bootstrap', { redirect: 'http://elsewhere.invalid/v1' }, { times: 1 });
    expect(await faultOf(`${stub.url}/v1/scripts/bootstrap`)).toMatchObject({ kind: 'refused' });
    stub.fault('bootstrap', 'endless', { times: 1 });
    expect(await faultOf(`${stub.url}/v1/scripts/bootstrap`)).toMatchObject({ kind: 'page' });
  });
});

describe('whose fault an answer is', () => {
  const answer = (status: number, text: string, headers = {}): HttpResponse => ({
    status,
    text,
    headers,
    url: 'http://server/v1',
  });

  it.each([
    [answer(302, htmlPage), 'refused', 'the server redirects the request (status 302)'],
    [answer(403, htmlPage), 'refused', 'the server answers with status 403'],
    [
      answer(403, JSON.stringify(errorDocument(403, 'Forbidden'))),
      'refused',
      'the server answers with status 403 (Forbidden)',
    ],
    [answer(404, ''), 'refused', 'the server answers with status 404'],
    [answer(407, htmlPage), 'proxy', 'the proxy asks for a user name and password (status 407)'],
    [answer(429, ''), 'busy', 'the server answers with status 429'],
    [answer(500, ''), 'busy', 'the server answers with status 500'],
    [answer(503, htmlPage), 'busy', 'the server answers with status 503'],
    [answer(511, htmlPage), 'page', /^the server answers with status 511/],
    [answer(200, htmlPage), 'page', 'the server answers with a web page instead of what was asked for'],
    [answer(200, ''), 'page', 'the server answers with an empty answer instead of what was asked for'],
  ])('%j', (response, kind, sentence) => {
    const fault = explainServerFault(response);
    expect(fault.kind).toBe(kind);
    expect(fault.sentence).toMatch(sentence);
    expect(fault.hint).not.toBe('');
  });

  it('something odd that was thrown is a fault of the connection, in its own words', () => {
    expect(explainServerFault(new Error('odd'))).toMatchObject({ kind: 'connection', sentence: 'odd' });
    expect(explainServerFault('text')).toMatchObject({ kind: 'connection', sentence: 'text' });
  });
});
