import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEngineInfo } from '../../../src/engine/engine-info.ts';
import { askAhead, takeAnswerAhead } from '../../../src/engine/head-start.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { cutAtOnce, cutInTheBody, FakeDaemon, json, silence, text } from '../fakes/fake-daemon.ts';

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
    ['refused', text(500, 'driver failed'), 'the engine answered 500'],
    ['cut in the middle', cutInTheBody, 'cut in the middle'],
    ['cut before anything came', cutAtOnce, 'ended'],
    ['never answered', silence, 'no answer within 200 ms'],
  ])('is asked again in the ordinary way when it was %s, and that is told', async (_, first, why) => {
    daemon.on('GET', '/info', first, json(200, info));
    askAhead(daemon.socketPath, 'test');
    const lines: unknown[] = [];
    const log = { ...silentLog, warn: (...line: unknown[]) => void lines.push(line) };
    expect(await read({ INFO: 200 }, daemon.socketPath, undefined, log)).toMatchObject({
      storageDriver: 'aufs',
    });
    expect(daemon.seen).toHaveLength(2);
    expect(lines).toEqual([
      [
        'read engine info: the question asked ahead failed',
        { error: expect.stringContaining(why) as string, next: 'asked again' },
      ],
    ]);
  });

  it('counts as the first try: an engine that never answers is asked no more often than without it', async () => {
    daemon.on('GET', '/info', silence);
    askAhead(daemon.socketPath, 'test');
    await expect(read({ INFO: 50, CALL_PAUSE: 1 })).rejects.toMatchObject({ code: 'engine-unavailable' });
    expect(daemon.seen).toHaveLength(defaultLimits.CALL_TRIES);
  });

  it.each([
    ['no socket', join(tmpdir(), 'no-engine-here.sock')],
    ['no socket that can be', `/${'long/'.repeat(50)}docker.sock`],
  ])('tells the same as the ordinary way where there is %s', async (_, socketPath) => {
    const ordinary: unknown = await read({}, socketPath).catch(asSeen);
    askAhead(socketPath, 'test');
    expect(await read({}, socketPath).catch(asSeen)).toEqual(ordinary);
    expect(ordinary).toMatchObject({ code: 'engine-unavailable' });
  });

  it('ends with the signal', async () => {
    daemon.on('GET', '/info', silence);
    askAhead(daemon.socketPath, 'test');
    const signal = AbortSignal.abort(new Error('SIGTERM'));
    await expect(read({}, daemon.socketPath, signal)).rejects.toThrow('SIGTERM');
  });
});

function asSeen(error: unknown): unknown {
  const { message, code, hint, originalMessage } = error as Record<string, unknown>;
  return { message, code, hint, originalMessage };
}

async function read(
  limits: Partial<typeof defaultLimits> = {},
  socketPath = daemon.socketPath,
  signal?: AbortSignal,
  log = silentLog,
): Promise<unknown> {
  return readEngineInfo({
    socketPath,
    apiVersion: undefined,
    userAgent: 'test',
    limits: { ...defaultLimits, CALL_PAUSE: 1, ...limits },
    log,
    ...(signal === undefined ? {} : { signal }),
  });
}
