import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ExecuteCall, ExecuteResult } from '../../../src/engine/engine.ts';
import { EngineError } from '../../../src/engine/errors.ts';
import { EngineUnavailableError, InterruptedError } from '../../../src/support/errors.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { cutInTheBody, FakeDaemon, json, silence, text, type Answer } from '../fakes/fake-daemon.ts';

const id = 'a'.repeat(64);
const exec = 'e'.repeat(64);
let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  engine('20.10.24', '1.41');
  daemon.on('POST', `/containers/${id}/exec`, json(201, { Id: exec }));
  daemon.on('POST', `/exec/${exec}/start`, printing(frame(1, 'out\n')));
  daemon.on('GET', `/exec/${exec}/json`, json(200, { ID: exec, Running: false, ExitCode: 0 }));
});
afterEach(async () => daemon.stop());

function engine(version: string, api: string): void {
  daemon.on('GET', '/version', json(200, { Version: version, ApiVersion: api }));
}

function frame(stream: number, words: string, length = Buffer.byteLength(words)): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(length, 4);
  return Buffer.concat([header, Buffer.from(words)]);
}

/** The answer to `start`, as the engine sends it: each piece in a write of its own. */
function printing(...pieces: readonly Buffer[]): Answer {
  return (response) => {
    response.writeHead(200, { 'Content-Type': 'application/vnd.docker.raw-stream' });
    const writeNext = (at: number): void => {
      const piece = pieces[at];
      if (piece === undefined) response.end();
      else response.write(piece, () => setTimeout(() => writeNext(at + 1), 2));
    };
    writeNext(0);
  };
}

async function execute(parts: Partial<ExecuteCall> = {}, apiVersion?: string): Promise<ExecuteResult> {
  const connected = await daemon.connect({
    apiVersion,
    clock: systemClock,
  });
  return connected.execute(id, { command: ['cat', '/file'], deadlineMs: 5_000, maxBytes: 1_000, ...parts });
}

async function errorOf(parts: Partial<ExecuteCall> = {}): Promise<unknown> {
  return execute(parts).catch((error: unknown) => error);
}

function asked(): readonly string[] {
  return daemon.seen
    .map(({ method, url }) => `${method} ${url.replace(/\?.*/, '')}`)
    .filter((request) => !request.endsWith('/version'));
}

describe('a command in a container', () => {
  it('is created, started, read to its end and asked for its status', async () => {
    expect(await execute()).toEqual({ status: 0, stdout: 'out\n', stderr: '' });
    expect(asked()).toEqual([
      `POST /containers/${id}/exec`,
      `POST /exec/${exec}/start`,
      `GET /exec/${exec}/json`,
    ]);
    const bodies = daemon.seen
      .filter(({ method }) => method === 'POST')
      .map(({ body }) => JSON.parse(body) as unknown);
    expect(bodies).toEqual([
      { AttachStdout: true, AttachStderr: true, Cmd: ['cat', '/file'] },
      { Detach: false, Tty: false },
    ]);
    // Without stdin there is nothing to upgrade a connection for.
    for (const { headers } of daemon.seen) expect(headers.upgrade).toBeUndefined();
  });

  it('on the engine of the incident the same requests carry API 1.22', async () => {
    engine('1.10.3', '1.22');
    expect((await execute({}, '1.22')).stdout).toBe('out\n');
    expect(asked()).toEqual([
      `POST /v1.22/containers/${id}/exec`,
      `POST /v1.22/exec/${exec}/start`,
      `GET /v1.22/exec/${exec}/json`,
    ]);
  });

  it('stdout and stderr are kept apart, however frames and pieces fall', async () => {
    const bytes = Buffer.concat([
      frame(1, 'one\n'),
      frame(2, 'WARNING: größer\n'),
      frame(1, 'two ü\n'),
      frame(2, 'last'),
    ]);
    const pieces = [0, 3, 11, 13, 27, 28, 29, 40, bytes.length];
    daemon.on(
      'POST',
      `/exec/${exec}/start`,
      printing(...pieces.slice(1).map((end, index) => bytes.subarray(pieces[index], end))),
    );
    expect(await execute()).toEqual({ status: 0, stdout: 'one\ntwo ü\n', stderr: 'WARNING: größer\nlast' });
  });

  it('that prints nothing has an empty output', async () => {
    daemon.on('POST', `/exec/${exec}/start`, printing());
    expect(await execute()).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  it.each([
    [{ ExitCode: 127 }, 127],
    [{ ExitCode: null, Running: true }, undefined],
    [{}, undefined],
    ['a text', undefined],
  ])('of which the engine says %j has the status %s', async (answer, status) => {
    daemon.on('GET', `/exec/${exec}/json`, json(200, answer));
    expect((await execute()).status).toBe(status);
  });
});

describe('too much output', () => {
  it.each([
    ['992 bytes and a header are read', 992, false],
    ['one byte more is an error', 993, true],
  ])('%s', async (_what, length, isError) => {
    daemon.on('POST', `/exec/${exec}/start`, printing(frame(1, 'x'.repeat(length))));
    const outcome = await errorOf();
    if (isError) expect(outcome).toMatchObject({ originalMessage: 'it printed more than 1000 bytes' });
    else expect(outcome).toMatchObject({ status: 0 });
  });

  it('that never ends is not waited for, and its connection is closed', async () => {
    let isClosed = false;
    daemon.on('POST', `/exec/${exec}/start`, (response) => {
      response.writeHead(200);
      const writing = setInterval(() => response.write(frame(1, 'y\n'.repeat(100))), 1);
      response.on('close', () => {
        clearInterval(writing);
        isClosed = true;
      });
    });
    expect(await errorOf()).toBeInstanceOf(EngineError);
    await expect.poll(() => isClosed).toBe(true);
    expect(daemon.countOf('GET', `/exec/${exec}/json`)).toBe(0);
  });

  it('that a header only promises is not believed: what comes counts', async () => {
    daemon.on('POST', `/exec/${exec}/start`, printing(frame(1, 'short', 0x7fffffff)));
    expect(await execute()).toMatchObject({ stdout: 'short' });
  });
});

describe('an engine that refuses', () => {
  it.each([
    ['there is no such container', 404, 'not-found'],
    ['it is paused', 409, 'conflict'],
    ['it breaks', 500, 'failed'],
  ])('to create the command, because %s', async (originalMessage, status, kind) => {
    daemon.on('POST', `/containers/${id}/exec`, text(status, `${originalMessage}\n`));
    const error = await errorOf();
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ originalMessage, kind });
    expect(asked()).toHaveLength(1);
  });

  it('to start it: its words are in the error', async () => {
    daemon.on('POST', `/exec/${exec}/start`, json(409, { message: 'Container is not running' }));
    const error = await errorOf();
    expect(error).toMatchObject({ originalMessage: 'Container is not running' });
    expect(String(error)).toContain(`run cat in container ${id.slice(0, 12)}`);
  });

  it.each([
    ['no id', json(201, { Warnings: [] })],
    ['an id that is no text', json(201, { Id: 17 })],
    ['nothing', text(201, '')],
    ['a page', text(201, '<html>')],
  ])('by answering %s to the creation is an engine’s error, no defect of ours', async (_what, answer) => {
    daemon.on('POST', `/containers/${id}/exec`, answer);
    const error = await errorOf();
    expect(error).toBeInstanceOf(EngineError);
    expect(error).toMatchObject({ originalMessage: 'the engine named no exec id' });
    expect(asked()).toHaveLength(1);
  });

  it('by answering nonsense about the status: the output is there, the status is not known', async () => {
    daemon.on('GET', `/exec/${exec}/json`, text(200, '<html>'));
    expect(await execute()).toEqual({ status: undefined, stdout: 'out\n', stderr: '' });
  });
});

describe('a deadline', () => {
  it.each([
    ['the creation', 'POST', `/containers/${id}/exec`, silence],
    ['the start', 'POST', `/exec/${exec}/start`, silence],
    ['the status', 'GET', `/exec/${exec}/json`, silence],
    [
      'the output',
      'POST',
      `/exec/${exec}/start`,
      (response) => {
        response.writeHead(200).write(frame(1, 'never ends'));
      },
    ],
  ])('ends a call that hangs in %s', async (_what, method, path, answer) => {
    daemon.on(method, path, answer);
    const begun = performance.now();
    expect(await errorOf({ deadlineMs: 300 })).toBeInstanceOf(EngineUnavailableError);
    expect(performance.now() - begun).toBeLessThan(3_000);
  });

  it('is one for the whole call: what comes late in one part is not added to the next', async () => {
    daemon.on('POST', `/exec/${exec}/start`, (response) => {
      setTimeout(() => {
        response.writeHead(200).write(frame(1, 'never ends'));
      }, 1_500);
    });
    const begun = performance.now();
    expect(await errorOf({ deadlineMs: 2_000 })).toBeInstanceOf(EngineUnavailableError);
    expect(performance.now() - begun).toBeLessThan(3_200);
  });

  it('a stop ends the call with its own reason, in whatever part it is', async () => {
    const stop = new AbortController();
    const reason = new InterruptedError('SIGTERM');
    daemon.on('POST', `/exec/${exec}/start`, (response) => {
      response.writeHead(200).write(frame(1, 'never ends'));
      setTimeout(() => {
        stop.abort(reason);
      }, 20);
    });
    expect(await errorOf({ signal: stop.signal })).toBe(reason);
  });

  it('an engine that is killed meanwhile is away', async () => {
    daemon.on('POST', `/exec/${exec}/start`, cutInTheBody);
    expect(await errorOf()).toBeInstanceOf(EngineUnavailableError);
  });
});
