import { createServer, type Server as HttpServer } from 'node:http';
import { createServer as listen } from 'node:net';
import { link } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTransport, type EngineAnswer } from '../../../src/engine/transport.ts';
import { question, kinds, folder, socketPath, stageSocket } from './transport-stage.ts';

stageSocket();

describe('the transport and a socket that the daemon has replaced', () => {
  const refusing = (): string => join(folder, 'old.sock');

  beforeEach(async () => {
    // The file stays, and nobody listens: as one of a daemon that was killed.
    const old = listen();
    await new Promise<void>((resolve) => old.listen(join(folder, 'first.sock'), resolve));
    await link(join(folder, 'first.sock'), refusing());
    await new Promise((resolve) => old.close(resolve));
  });

  it.each(kinds)('takes the present one (%s), for requests and streams', async (_, kept) => {
    const seen: string[] = [];
    const server = createServer((request, response) => {
      seen.push(`${request.method ?? ''} ${request.url ?? ''}`);
      response.end('{}');
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    const transport = createTransport(refusing(), '1.41', 'test', kept, async () =>
      Promise.resolve({ present: socketPath }),
    );
    expect((await transport.request({ ...question, method: 'POST' })).text).toBe('{}');
    expect((await transport.request(question)).text).toBe('{}');
    (await transport.openStream(question)).destroy();
    expect(seen).toEqual(['POST', 'GET', 'GET'].map((method) => `${method} /v1.41/containers/x/json?`));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each([
    ['it was not replaced', undefined, 'nothing listens on the Docker socket'],
    ['the host cannot be seen', { present: undefined }, 'the Docker socket in this container is dead'],
    [
      'the daemon has not started yet',
      { present: '/nowhere/docker.sock' },
      'nothing listens on the Docker socket',
    ],
  ])('says what is wrong: %s', async (_, replaced, words) => {
    const transport = createTransport(refusing(), undefined, 'test', false, async () =>
      Promise.resolve(replaced),
    );
    await expect(transport.request(question)).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: expect.stringContaining(words) as string,
    });
  });
});

describe('the transport and a server of Node', () => {
  let server: HttpServer;
  let connections: number;
  let body: string | readonly string[];

  beforeEach(async () => {
    connections = 0;
    body = '{}';
    server = createServer((_request, response) => {
      for (const piece of typeof body === 'string' ? [] : body) response.write(piece);
      response.end(typeof body === 'string' ? body : undefined);
    }).on('connection', () => (connections += 1));
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('get any text as it was sent, in however many pieces, over one connection', async () => {
    const transport = createTransport(socketPath, undefined, 'test', true);
    const pieces = fc.array(fc.string({ unit: 'binary', minLength: 1, maxLength: 5_000 }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.oneof(pieces, fc.string({ unit: 'binary', maxLength: 100_000 })), async (sent) => {
        body = sent;
        const expected = typeof sent === 'string' ? sent : sent.join('');
        expect((await transport.request(question)).text).toBe(Buffer.from(expected).toString());
      }),
      { numRuns: 200 },
    );
    expect(connections).toBe(1);
  });

  it.each(kinds)('ask below the prefix of the version, with a query, over %s', async (_, kept) => {
    const seen: (string | undefined)[] = [];
    server.on('request', ({ url, headers }) => seen.push(url, headers['user-agent']));
    await createTransport(socketPath, '1.24', 'me/1', kept).request({
      ...question,
      query: { a: 'b c&', d: '1' },
    });
    expect(seen).toEqual(['/v1.24/containers/x/json?a=b%20c%26&d=1', 'me/1']);
  });

  it('ask as many at once as are asked, and keep those connections', async () => {
    const transport = createTransport(socketPath, undefined, 'test', true);
    const ask = async (): Promise<unknown> =>
      Promise.all(Array.from({ length: 8 }, async () => transport.request(question)));
    await ask();
    await ask();
    expect(connections).toBe(8);
  });

  it('use no connection again without the option for it', async () => {
    const transport = createTransport(socketPath, undefined, 'test');
    await transport.request(question);
    await transport.request(question);
    expect(connections).toBe(2);
  });

  it('ask anew where the server has closed a kept connection', async () => {
    const transport = createTransport(socketPath, undefined, 'test', true);
    await transport.request(question);
    server.closeAllConnections();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await transport.request(question)).text).toBe('{}');
    expect(connections).toBe(2);
  });

  it.each([
    ['tcp://127.0.0.1:1', {}],
    ['127.0.0.1:1', {}],
    ['ssh://root@127.0.0.1', {}],
    ['no address at all', {}],
    ['tcp://127.0.0.1:2376', { DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: '/none' }],
    ['unix:///none.sock', {}],
  ])('meet at the given socket, whatever DOCKER_HOST says: %s', async (address, others) => {
    const before = { ...process.env };
    Object.assign(process.env, { DOCKER_HOST: address }, others);
    try {
      expect((await createTransport(socketPath, '1.24', 'test').request(question)).text).toBe('{}');
      expect(process.env['DOCKER_HOST']).toBe(address);
    } finally {
      process.env = before;
    }
  });

  it('give up an answer of more than 1 MiB', async () => {
    body = 'x'.repeat(2 ** 20 + 1);
    await expect(createTransport(socketPath, undefined, 'test').request(question)).rejects.toMatchObject({
      code: 'engine-unavailable',
      message: 'inspect container x: the answer is longer than 1 MiB',
    });
    body = 'x'.repeat(2 ** 20);
    expect((await createTransport(socketPath, undefined, 'test').request(question)).text).toHaveLength(
      body.length,
    );
  });

  it('keep the named parts of an answer of any size up to 64 MiB', async () => {
    const ask = async (): Promise<EngineAnswer> =>
      createTransport(socketPath, undefined, 'test').request({
        ...question,
        deadlineMs: 20_000,
        shape: { members: { Id: 'keep' } },
      });
    body = JSON.stringify({ Labels: { a: 'x'.repeat(2 ** 20) }, Id: 'y' });
    expect(await ask()).toEqual({ status: 200, text: '{"Id":"y"}', isSkimmed: true });
    body = `{"Id":"y"`.padEnd(2 ** 20 + 1);
    await expect(ask()).rejects.toThrow(/is cut off/);
    body = '['.repeat(2 ** 20 + 1);
    await expect(ask()).rejects.toThrow(/nested too deeply/);
    body = Array.from({ length: 65 }, () => 'x'.repeat(2 ** 20));
    await expect(ask()).rejects.toThrow(/longer than 64 MiB/);
  }, 30_000);
});
