import { createServer, type Server, type Socket } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEngineInfo } from '../../../src/engine/engine-info.ts';
import { askAhead, takeAnswerAhead } from '../../../src/engine/head-start.ts';
import { defaultLimits } from '../../../src/support/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { cutAtOnce, cutInTheBody, FakeDaemon, json, silence, text } from './fake-daemon.ts';

const info = { OperatingSystem: 'Boot2Docker 17.04 (Ubuntu)', Driver: 'aufs' };
let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
});

afterEach(async () => {
  void takeAnswerAhead();
  await daemon.stop();
});

describe('a question that went out before the program was loaded', () => {
  it('is not asked again, and says who asked', async () => {
    daemon.on('GET', '/info', json(200, info));
    askAhead(daemon.socketPath, 'rancher-agent-entrypoint/1.2.3 (inspect-host)');
    expect(await read()).toMatchObject({ operatingSystem: 'Boot2Docker 17.04 (Ubuntu)' });
    expect(daemon.seen).toHaveLength(1);
    expect(daemon.seen[0]).toMatchObject({
      url: '/info',
      headers: { 'user-agent': 'rancher-agent-entrypoint/1.2.3 (inspect-host)' },
    });
  });

  it('is answered once: who comes later asks for himself', async () => {
    daemon.on('GET', '/info', json(200, info), json(200, { ...info, Driver: 'overlay2' }));
    askAhead(daemon.socketPath, 'test');
    expect(await read()).toMatchObject({ storageDriver: 'aufs' });
    expect(await read()).toMatchObject({ storageDriver: 'overlay2' });
  });

  it.each([
    ['refused', text(500, 'driver failed')],
    ['cut in the middle', cutInTheBody],
    ['cut before anything came', cutAtOnce],
    ['never answered', silence],
  ])('is asked again in the ordinary way when it was %s', async (_, first) => {
    daemon.on('GET', '/info', first, json(200, info));
    askAhead(daemon.socketPath, 'test');
    expect(await read({ LIST: 200 })).toMatchObject({ storageDriver: 'aufs' });
    expect(daemon.seen).toHaveLength(2);
  });

  it('counts as the first try: an engine that never answers is asked no more often than without it', async () => {
    daemon.on('GET', '/info', silence);
    askAhead(daemon.socketPath, 'test');
    await expect(read({ LIST: 50, CALL_PAUSE: 1 })).rejects.toMatchObject({ code: 'engine-unavailable' });
    expect(daemon.seen).toHaveLength(defaultLimits.CALL_TRIES);
  });

  it('tells the same as the ordinary way when there is no engine', async () => {
    const socketPath = join(tmpdir(), 'no-engine-here.sock');
    const ordinary: unknown = await read({ CALL_PAUSE: 1 }, socketPath).catch(asSeen);
    askAhead(socketPath, 'test');
    expect(await read({ CALL_PAUSE: 1 }, socketPath).catch(asSeen)).toEqual(ordinary);
    expect(ordinary).toMatchObject({
      message: expect.stringContaining('there is no Docker socket') as string,
    });
  });

  it('ends with the signal', async () => {
    daemon.on('GET', '/info', silence);
    askAhead(daemon.socketPath, 'test');
    const signal = AbortSignal.abort(new Error('SIGTERM'));
    await expect(read({}, daemon.socketPath, signal)).rejects.toThrow('SIGTERM');
  });
});

describe('an answer as bytes', () => {
  let folder: string;
  let server: Server;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'head-start-'));
  });

  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve));
    await rm(folder, { recursive: true, force: true });
  });

  it.each([
    ['in one piece, without a length', ['HTTP/1.0 200 OK\r\nServer: Docker\r\n\r\n{"a":1}'], '{"a":1}'],
    ['without any header', ['HTTP/1.1 200 OK\r\n\r\n{}'], '{}'],
    [
      'in pieces, a letter cut in two',
      ['HTTP/1.1 200 OK\r\nContent-', 'Length: 2\r\n\r', '\n\u00c3', '\u00a4'],
      'ä',
    ],
    ['shorter than it says', ['HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}'], undefined],
    ['in chunks', ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'], undefined],
    ['cut in the headers', ['HTTP/1.1 200 OK\r\nServer: Do'], undefined],
    ['of another protocol', ['SSH-2.0-OpenSSH_9.2\r\n'], undefined],
    ['empty', [''], undefined],
  ])('%s', async (_, pieces, expected) => {
    const socketPath = await serve(pieces);
    askAhead(socketPath, 'test');
    const answer = await takeAnswerAhead()?.catch(() => undefined);
    expect(answer).toEqual(expected === undefined ? undefined : { status: 200, text: expected });
  });

  /** A server that answers each connection with these bytes, one piece after the other, and ends it. */
  async function serve(pieces: readonly string[]): Promise<string> {
    const socketPath = join(folder, 'docker.sock');
    const answer = async (socket: Socket): Promise<void> => {
      for (const piece of pieces) {
        await new Promise((resolve) => socket.write(Buffer.from(piece, 'latin1'), resolve));
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      socket.end();
    };
    server = createServer((socket) => {
      socket.once('data', () => void answer(socket));
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    return socketPath;
  }
});

function asSeen(error: unknown): unknown {
  const { message, code, hint, said } = error as Record<string, unknown>;
  return { message, code, hint, said };
}

async function read(
  limits: Partial<typeof defaultLimits> = {},
  socketPath = daemon.socketPath,
  signal?: AbortSignal,
): Promise<unknown> {
  return readEngineInfo({
    socketPath,
    apiVersion: undefined,
    userAgent: 'test',
    limits: { ...defaultLimits, CALL_PAUSE: 1, ...limits },
    log: silentLog,
    ...(signal === undefined ? {} : { signal }),
  });
}
