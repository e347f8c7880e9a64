import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureImage, type Target } from '../../../../src/agent/worker/pull-image.ts';
import { InterruptedError } from '../../../../src/support/errors.ts';
import { defaultLimits, type Limits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { clockWithoutPauses } from '../../fakes/clocks.ts';
import {
  cutAtOnce,
  FakeDaemon,
  engineOfToday,
  json,
  silence,
  text,
  type Answer,
} from '../../fakes/fake-daemon.ts';

const reference = 'mirror.example:5000/rancher/agent:v2';
const path = `/images/${reference.split('/').map(encodeURIComponent).join('/')}/json`;
const image = json(200, { Id: 'sha256:2' });
const missing = text(404, `no such image: ${reference}\n`);

const quick: Limits = { ...defaultLimits, PULL_SILENCE: 200, INSPECT: 5_000 };

let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start(engineOfToday);
  daemon.on('GET', path, missing);
});
afterEach(async () => daemon.stop());

async function ensure(limits: Limits = quick, signal = new AbortController().signal): Promise<Target> {
  const engine = await daemon.connect({
    limits,
    clock: clockWithoutPauses,
  });
  return ensureImage({ engine, limits, clock: clockWithoutPauses, log: silentLog, signal }, reference);
}

/** What the daemon answers to each pull; the image is there once one of them was a success. */
function pulls(...answers: readonly Answer[]): void {
  daemon.on('POST', '/images/create', ...answers);
}

const success: Answer = (response) => {
  daemon.on('GET', path, image);
  response.writeHead(200).end('{"status":"Pulling from rancher/agent"}\n{"status":"Done"}\n');
};

function failure(error: string, code?: number): Answer {
  return text(
    200,
    `{"status":"Pulling"}\n${JSON.stringify({ error, errorDetail: { code, message: error } })}\n`,
  );
}

const cutInTheMiddle: Answer = (response) => {
  response.writeHead(200).write('{"status":"Pulling"}\n');
  setTimeout(() => response.destroy(), 20);
};

const stuckInTheMiddle: Answer = (response) => {
  response.writeHead(200).write('{"status":"Downloading"}\n');
};

function pullCount(): number {
  return daemon.countOf('POST', '/images/create');
}

describe('an image that is on the host', () => {
  it('is not pulled', async () => {
    daemon.on('GET', path, image);
    expect(await ensure()).toMatchObject({ targetImage: reference, image: { id: 'sha256:2' } });
    expect(pullCount()).toBe(0);
  });
});

describe('an image that is not', () => {
  it('is pulled', async () => {
    pulls(success);
    expect(await ensure()).toMatchObject({ targetImage: reference, image: { id: 'sha256:2' } });
    expect(pullCount()).toBe(1);
  });

  it.each([
    ['a daemon that stumbles', text(500, 'a stumble\n')],
    ['a registry that stumbles', failure('received unexpected HTTP status: 502 Bad Gateway')],
    ['an answer that is lost', cutAtOnce],
    ['a connection that is cut in the middle', cutInTheMiddle],
    ['a line that is stuck', stuckInTheMiddle],
    ['a daemon that says nothing', silence],
  ])('%s: it is pulled again', async (_, answer) => {
    pulls(answer, success);
    expect(await ensure()).toMatchObject({ image: { id: 'sha256:2' } });
    expect(pullCount()).toBe(2);
  });

  it.each([
    ['in the answer’s status', text(404, 'manifest for x not found: manifest unknown\n')],
    ['in the stream', failure('manifest for x not found: manifest unknown', 404)],
  ])('the registry does not have it (%s): said once, in its words, with what to do', async (_, answer) => {
    pulls(answer);
    await expect(ensure()).rejects.toMatchObject({
      code: 'cannot-change',
      exitCode: 73,
      originalMessage: 'manifest for x not found: manifest unknown',
      hint: `try it by hand: docker pull ${reference}`,
    });
    expect(pullCount()).toBe(1);
  });

  it('a registry that is away: tried three times, then said', async () => {
    const originalMessage = 'Get "http://mirror.example:5000/v2/": dial tcp: connection refused';
    pulls(failure(originalMessage));
    await expect(ensure()).rejects.toMatchObject({ code: 'cannot-change', exitCode: 73, originalMessage });
    expect(pullCount()).toBe(defaultLimits.CALL_TRIES);
  });

  it.each([
    ['in the middle', stuckInTheMiddle],
    ['from the start', silence],
  ])('a pull that is stuck %s, every time: given up, and that is what it says', async (_, answer) => {
    pulls(answer);
    const error: unknown = await ensure().catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'cannot-change', exitCode: 73 });
    expect(error).toHaveProperty('originalMessage', `pull image ${reference}: no answer within 200 ms`);
  });

  it('a pull that reports and reports, and is not done in time, is given up and not started again', async () => {
    pulls((response) => {
      response.writeHead(200);
      const timer = setInterval(() => response.write('{"status":"Downloading"}\n'), 50);
      response.on('close', () => {
        clearInterval(timer);
      });
    });
    await expect(ensure({ ...quick, PULL_TOTAL: 400 })).rejects.toMatchObject({
      code: 'cannot-change',
      // What is left of the 400 ms when the pull begins.
      originalMessage: expect.stringMatching(
        /^pull image \S+ to its end: no answer within (400|39\d) ms$/,
      ) as string,
    });
    expect(pullCount()).toBe(1);
  });

  it('its time is that of all tries together', async () => {
    pulls(stuckInTheMiddle, stuckInTheMiddle, stuckInTheMiddle);
    await expect(
      ensure({ ...quick, PULL_SILENCE: 300, PULL_TOTAL: 700, CALL_PAUSE: 1 }),
    ).rejects.toMatchObject({
      code: 'cannot-change',
      originalMessage: expect.stringMatching(
        /^pull image \S+ to its end: no answer within \d+ ms$/,
      ) as string,
    });
    expect(pullCount()).toBe(3);
  });

  it('an image that does not fit is a shortage of storage, like one that was seen before', async () => {
    pulls(failure('write /var/lib/docker/tmp/GetImageBlob1: no space left on device'));
    await expect(ensure()).rejects.toMatchObject({ code: 'storage-low', exitCode: 75 });
  });

  it('a daemon whose connection is cut every time is a daemon that can’t be reached', async () => {
    pulls(cutInTheMiddle);
    await expect(ensure()).rejects.toMatchObject({ code: 'engine-unavailable', exitCode: 69 });
  });

  it('a pull that ends well and leaves nothing is a failure', async () => {
    pulls(text(200, '{"status":"Done"}\n'));
    await expect(ensure()).rejects.toThrow('was pulled and is not there');
  });

  it.each([
    ['while nothing has come', silence],
    ['in the middle', stuckInTheMiddle],
  ])('SIGTERM %s ends the pull at once', async (_, answer) => {
    const abort = new AbortController();
    pulls((response, seen) => {
      answer(response, seen);
      setTimeout(() => {
        abort.abort(new InterruptedError('SIGTERM'));
      }, 20);
    });
    const patient = { ...quick, PULL_SILENCE: 60_000 };
    await expect(ensure(patient, abort.signal)).rejects.toMatchObject({ exitCode: 143 });
    expect(pullCount()).toBe(1);
  });
});
