import { createServer, type Server as HttpServer } from 'node:http';
import { createServer as listen, type Server, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readAnswer } from '../../../src/engine/plain-answer.ts';
import { createPlainTransport } from '../../../src/engine/plain-transport.ts';
import type { EngineRequest } from '../../../src/engine/transport.ts';

const question: EngineRequest = {
  what: 'inspect container x',
  method: 'GET',
  path: '/containers/x/json',
  accept: [200],
  deadlineMs: 2_000,
};

let folder: string;
let socketPath: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plain-transport-'));
  socketPath = join(folder, 'docker.sock');
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('an answer', () => {
  it.each([
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}', '{}'],
    ['with nothing in it', 'HTTP/1.1 204 No Content\r\nServer: Docker\r\n\r\n', ''],
    [
      'in chunks',
      'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{"\r\n3;x=1\r\na":\r\n2\r\n1}\r\n0\r\n\r\n',
      '{"a":1}',
    ],
    [
      'in chunks, with a trailer',
      'HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n',
      '0123456789',
    ],
    ['without any field but a length', 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', ''],
  ])('%s is whole at its last byte and not before', (_, text, expected) => {
    const bytes = Buffer.from(text);
    for (let length = 0; length < bytes.length; length += 1) {
      expect(readAnswer(bytes.subarray(0, length), false)).toBeUndefined();
      expect(() => readAnswer(bytes.subarray(0, length), true)).toThrow('no answer of an engine');
    }
    expect(readAnswer(bytes, false)).toMatchObject({ text: expected, size: bytes.length, keepsOpen: true });
  });

  it('without a length is whole when the connection ends', () => {
    const bytes = Buffer.from('HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n{"a":"ä"}');
    expect(readAnswer(bytes, false)).toBeUndefined();
    expect(readAnswer(bytes, true)).toMatchObject({ status: 200, text: '{"a":"ä"}', keepsOpen: false });
  });

  it.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
    ['an unknown transfer encoding', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
    ['a chunk without a length', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['a chunk that goes on', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n'],
  ])('is refused: %s', (_, text) => {
    expect(() => readAnswer(Buffer.from(text), false)).toThrow('no answer of an engine');
  });

  it.each([
    ['HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n', false],
    ['HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n', false],
    ['HTTP/1.1 200 OK\r\nX-Connection: close\r\nContent-Length: 0\r\n\r\n', true],
  ])('%j keeps the connection: %j', (text, keepsOpen) => {
    expect(readAnswer(Buffer.from(text), false)).toMatchObject({ keepsOpen });
  });
});

describe('beside a server of Node', () => {
  let server: HttpServer;
  let connections: number;
  let body: string | readonly string[];

  beforeEach(async () => {
    connections = 0;
    server = createServer((request, response) => {
      if (typeof body === 'string') {
        response.end(request.url === '/echo?a=b+c%26' ? request.url : body);
        return;
      }
      for (const piece of body) response.write(piece);
      response.end();
    }).on('connection', () => (connections += 1));
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('gets any text as it was sent, in however many pieces, over one connection', async () => {
    const transport = createPlainTransport(socketPath, undefined, 'test');
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

  it('asks below the prefix of its version, with a query', async () => {
    const seen: (string | undefined)[] = [];
    server.on('request', ({ url, headers }) => seen.push(url, headers['user-agent']));
    body = '';
    await createPlainTransport(socketPath, '1.24', 'me/1').request({
      ...question,
      query: { a: 'b c&', d: '1' },
    });
    expect(seen).toEqual(['/v1.24/containers/x/json?a=b+c%26&d=1', 'me/1']);
  });

  it('asks as many at once as are asked, and keeps those connections', async () => {
    body = '{}';
    const transport = createPlainTransport(socketPath, undefined, 'test');
    const ask = async (): Promise<unknown> =>
      Promise.all(Array.from({ length: 8 }, () => transport.request(question)));
    await ask();
    await ask();
    expect(connections).toBe(8);
  });

  it('asks anew where the server has closed a kept connection', async () => {
    body = '{}';
    const transport = createPlainTransport(socketPath, undefined, 'test');
    await transport.request(question);
    server.closeAllConnections();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await transport.request(question)).text).toBe('{}');
    expect(connections).toBe(2);
  });
});

describe('a server that misbehaves', () => {
  let server: Server;
  let answer: (socket: Socket, connection: number) => void;
  let connections: number;
  const sockets: Socket[] = [];

  beforeEach(async () => {
    connections = 0;
    server = listen((socket) => {
      connections += 1;
      sockets.push(socket);
      const connection = connections;
      socket
        .on('error', () => undefined)
        .on('data', () => {
          answer(socket, connection);
        });
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  });

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  it.each<[string, (socket: Socket) => void]>([
    ['cuts the connection', (socket) => socket.destroy()],
    ['cuts the answer', (socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{')],
    ['talks of something else', (socket) => socket.end('hello\r\n\r\n')],
  ])('is unavailable when it %s', async (_, behaviour) => {
    answer = behaviour;
    const transport = createPlainTransport(socketPath, undefined, 'test');
    await expect(transport.request(question)).rejects.toMatchObject({ code: 'engine-unavailable' });
  });

  it('that says nothing is given up at the deadline, and that connection is not asked again', async () => {
    answer = (socket, connection) => {
      if (connection > 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2');
    };
    const transport = createPlainTransport(socketPath, undefined, 'test');
    await expect(transport.request({ ...question, deadlineMs: 50 })).rejects.toThrow(
      'no answer within 50 ms',
    );
    expect((await transport.request(question)).text).toBe('2');
  });

  it('ends with the signal', async () => {
    answer = () => undefined;
    const transport = createPlainTransport(socketPath, undefined, 'test');
    const controller = new AbortController();
    const asked = transport.request({ ...question, signal: controller.signal });
    controller.abort(new Error('SIGTERM'));
    await expect(asked).rejects.toThrow('SIGTERM');
  });

  it('that says more than it was asked never answers the next question with it', async () => {
    const ok = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${text}`;
    const transport = createPlainTransport(socketPath, undefined, 'test');
    answer = (socket, connection) => socket.write(ok('1') + (connection === 1 ? ok('x') : ''));
    expect((await transport.request(question)).text).toBe('1');
    answer = (socket) => {
      socket.write(ok('2'));
      setTimeout(() => socket.write(ok('x')), 20);
    };
    expect((await transport.request(question)).text).toBe('2');
    await new Promise((resolve) => setTimeout(resolve, 60));
    answer = (socket) => socket.write(ok('3'));
    expect((await transport.request(question)).text).toBe('3');
    expect(connections).toBe(3);
  });

  it('that says no is told in its own words', async () => {
    answer = (socket) =>
      socket.write('HTTP/1.1 409 Conflict\r\nContent-Length: 18\r\n\r\n{"message":"busy"}');
    const transport = createPlainTransport(socketPath, undefined, 'test');
    await expect(transport.request({ ...question, method: 'DELETE' })).rejects.toMatchObject({
      kind: 'conflict',
      originalMessage: 'busy',
    });
  });

  it('that is away is told as by the ordinary way', async () => {
    const transport = createPlainTransport(join(folder, 'nothing.sock'), undefined, 'test');
    await expect(transport.request(question)).rejects.toThrow('there is no Docker socket');
  });
});
