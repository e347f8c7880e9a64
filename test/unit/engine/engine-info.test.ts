import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readEngineInfo } from '../../../src/engine/engine-info.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { cutAtOnce, cutInTheBody, FakeDaemon, json, silence, text } from '../fakes/fake-daemon.ts';

const info = { OperatingSystem: 'Boot2Docker 17.04 (Ubuntu)', Driver: 'aufs' };
let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
});

afterEach(async () => daemon.stop());

describe('the engine’s info', () => {
  it('is one request without a version, which says who asks', async () => {
    daemon.on('GET', '/info', json(200, info));
    expect(await read()).toMatchObject({
      operatingSystem: 'Boot2Docker 17.04 (Ubuntu)',
      storageDriver: 'aufs',
    });
    expect(daemon.seen.map(({ url, headers }) => [url.replace(/\?$/, ''), headers['user-agent']])).toEqual([
      ['/info', 'me/1 (inspect-host)'],
    ]);
  });

  it.each([
    ['refused', text(500, 'driver failed')],
    ['cut in the middle', cutInTheBody],
    ['cut before anything came', cutAtOnce],
    ['never answered', silence],
  ])('is asked for again when the question was %s', async (_, first) => {
    daemon.on('GET', '/info', first, json(200, info));
    expect(await read({ INFO: 200 })).toMatchObject({ storageDriver: 'aufs' });
    expect(daemon.seen).toHaveLength(2);
  });

  it('is given up after some tries where the engine never answers', async () => {
    daemon.on('GET', '/info', silence);
    await expect(read({ INFO: 50 })).rejects.toMatchObject({ code: 'engine-unavailable' });
    expect(daemon.seen).toHaveLength(defaultLimits.CALL_TRIES);
  });

  it.each([
    ['no socket', join(tmpdir(), 'no-engine-here.sock')],
    ['no socket that can be', `/${'long/'.repeat(50)}docker.sock`],
  ])('is an engine that cannot be reached where there is %s', async (_, socketPath) => {
    await expect(read({}, socketPath)).rejects.toMatchObject({ code: 'engine-unavailable' });
  });

  it('is no longer waited for when the signal comes', async () => {
    daemon.on('GET', '/info', silence);
    const controller = new AbortController();
    const reading = read({}, daemon.socketPath, controller.signal);
    setTimeout(() => {
      controller.abort(new Error('SIGTERM'));
    }, 20);
    await expect(reading).rejects.toThrow('SIGTERM');
  });
});

async function read(
  limits: Partial<typeof defaultLimits> = {},
  socketPath = daemon.socketPath,
  signal?: AbortSignal,
): Promise<unknown> {
  return readEngineInfo({
    socketPath,
    apiVersion: undefined,
    userAgent: 'me/1 (inspect-host)',
    limits: { ...defaultLimits, CALL_PAUSE: 1, ...limits },
    log: silentLog,
    ...(signal === undefined ? {} : { signal }),
  });
}
