import { createServer as listen, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTransport } from '../../../src/engine/transport.ts';
import { question, kinds, folder, socketPath, stageSocket } from './transport-stage.ts';

stageSocket();

describe.each(kinds)('over %s, a server', (_kind, kept) => {
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

  const transport = (): ReturnType<typeof createTransport> =>
    createTransport(socketPath, undefined, 'test', kept);
  const hungUp = async (): Promise<unknown> =>
    new Promise((resolve) =>
      sockets[0]?.destroyed === true ? resolve('yes') : sockets[0]?.once('close', resolve),
    );

  it.each([
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}', '{}'],
    ['with nothing in it', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', ''],
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
  ])('whose answer is cut anywhere is unavailable: %s', async (_, whole, expected) => {
    for (let length = 0; length < whole.length; length += 1) {
      answer = (socket) => socket.end(whole.slice(0, length));
      await expect(transport().request(question)).rejects.toMatchObject({ code: 'engine-unavailable' });
    }
    answer = (socket) => {
      socket.write(whole.slice(0, 20));
      setTimeout(() => socket.write(whole.slice(20)), 5);
    };
    expect((await transport().request(question)).text).toBe(expected);
  });

  it('that gives no length has answered when it ends the connection', async () => {
    answer = (socket) => socket.end('HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n{"a":"ä"}');
    expect((await transport().request(question)).text).toBe('{"a":"ä"}');
  });

  it.each([
    ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['an endless head', `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(70_000)}`],
    ['a length that is none', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
    ['a chunk without a length', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n'],
    ['a chunk that goes on', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}}\r\n0\r\n\r\n'],
  ])('that sends %s is unavailable at once, and the connection is closed', async (_, sent) => {
    answer = (socket) => socket.write(sent);
    const begun = Date.now();
    await expect(transport().request(question)).rejects.toMatchObject({ code: 'engine-unavailable' });
    expect(Date.now() - begun).toBeLessThan(question.deadlineMs / 2);
    await hungUp();
  });

  it.each<[string, (socket: Socket) => void]>([
    ['nothing', () => undefined],
    ['half an answer', (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{')],
    ['half an error', (socket) => socket.write('HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\n{')],
  ])('that says %s is given up at the deadline, and the connection is closed', async (_, behaviour) => {
    const short = { ...question, deadlineMs: 50 };
    const inPieces = async (body: AsyncIterable<Buffer>): Promise<void> => {
      for await (const piece of body) expect(piece.length).toBeGreaterThan(0);
    };
    answer = behaviour;
    await expect(transport().request(short)).rejects.toThrow('no answer within 50 ms');
    await hungUp();
    sockets.length = 0;
    await expect(transport().requestPieces(short, inPieces)).rejects.toThrow('no answer within 50 ms');
    await hungUp();
  });

  it.each<[string, (socket: Socket) => void]>([
    ['nothing', () => undefined],
    ['half an error', (socket) => socket.write('HTTP/1.1 500 No\r\nContent-Length: 10\r\n\r\n{')],
  ])(
    'that says %s instead of opening a stream is given up, and the connection is closed',
    async (_, behaviour) => {
      answer = behaviour;
      const { signal } = new AbortController();
      const opening = transport().openStream({ ...question, deadlineMs: 50, signal });
      await expect(opening).rejects.toThrow('no answer within 50 ms');
      await hungUp();
    },
  );

  it('may let a stream go on beyond the deadline for its head, until the signal comes', async () => {
    answer = (socket) => {
      socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
      setTimeout(() => socket.write('3\r\nabc\r\n'), 120);
    };
    const controller = new AbortController();
    const { signal } = controller;
    const stream = await transport().openStream({ ...question, deadlineMs: 60, signal });
    const [piece] = await new Promise<Buffer[]>((resolve) =>
      stream.once('data', (data: Buffer) => resolve([data])),
    );
    expect(piece?.toString()).toBe('abc');
    const ended = new Promise((resolve) => stream.once('error', resolve));
    controller.abort(new Error('SIGTERM'));
    await ended;
    await hungUp();
  });

  it('is asked over another connection after one that said nothing', async () => {
    answer = (socket, connection) => {
      if (connection > 1) socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2');
    };
    const same = transport();
    await expect(same.request({ ...question, deadlineMs: 50 })).rejects.toThrow('no answer within 50 ms');
    expect((await same.request(question)).text).toBe('2');
  });

  it.each([
    ['before the answer', ''],
    ['in the middle of the answer', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{'],
  ])('is hung up when the signal comes %s', async (_, sent) => {
    const asked = Promise.withResolvers<undefined>();
    answer = (socket) => {
      socket.write(sent);
      setTimeout(() => {
        asked.resolve(undefined);
      }, 10);
    };
    const controller = new AbortController();
    const answered = transport().request({ ...question, signal: controller.signal });
    await asked.promise;
    controller.abort(new Error('SIGTERM'));
    await expect(answered).rejects.toThrow('SIGTERM');
    await hungUp();
  });

  it('is not asked at all once the signal has come', async () => {
    const signal = AbortSignal.abort(new Error('SIGTERM'));
    await expect(transport().request({ ...question, signal })).rejects.toThrow('SIGTERM');
    expect(connections).toBe(0);
  });

  it('that says more than it was asked never answers the next question with it', async () => {
    const ok = (text: string): string => `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n${text}`;
    const same = transport();
    answer = (socket, connection) => socket.write(ok('1') + (connection === 1 ? ok('x') : ''));
    expect((await same.request(question)).text).toBe('1');
    answer = (socket) => {
      socket.write(ok('2'));
      setTimeout(() => socket.write(ok('x')), 20);
    };
    expect((await same.request(question)).text).toBe('2');
    await new Promise((resolve) => setTimeout(resolve, 60));
    answer = (socket) => socket.write(ok('3'));
    expect((await same.request(question)).text).toBe('3');
    expect(connections).toBe(3);
  });

  it('that refuses is reported in its own words', async () => {
    answer = (socket) =>
      socket.write('HTTP/1.1 409 Conflict\r\nContent-Length: 18\r\n\r\n{"message":"busy"}');
    await expect(transport().request({ ...question, method: 'DELETE' })).rejects.toMatchObject({
      kind: 'conflict',
      originalMessage: 'busy',
    });
  });

  it.each(['http://127.0.0.1:9/', 'https://127.0.0.1:9/', 'ftp://127.0.0.1/', '/elsewhere'])(
    'that sends us to %s is not obeyed',
    async (location) => {
      answer = (socket) =>
        socket.write(`HTTP/1.1 301 Moved\r\nLocation: ${location}\r\nContent-Length: 5\r\n\r\nthere`);
      await expect(transport().request(question)).rejects.toMatchObject({
        status: 301,
        originalMessage: 'there',
      });
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(connections).toBe(1);
    },
  );

  it('that is not there is reported with what to do', async () => {
    const away = createTransport(join(folder, 'nothing.sock'), undefined, 'test', kept);
    await expect(away.request(question)).rejects.toThrow('there is no Docker socket');
  });
});
