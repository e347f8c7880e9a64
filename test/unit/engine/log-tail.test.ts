import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { FakeDaemon, engineOfTheIncident, json, text } from '../fakes/fake-daemon.ts';

const id = 'e'.repeat(64);
const path = `/containers/${id}/logs`;

let daemon: FakeDaemon;
let engine: Engine;

beforeEach(async () => {
  daemon = await FakeDaemon.start(engineOfTheIncident);
  engine = await daemon.connect({
    limits: { ...defaultLimits, LOG_TAIL: 300, LOG_TAIL_LINES: 7, LOG_TAIL_READ: 100 },
  });
});
afterEach(async () => daemon.stop());

/** As the engine frames a piece of a log. */
function frame(stream: 1 | 2, words: string): Buffer {
  const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(Buffer.byteLength(words), 4);
  return Buffer.concat([header, Buffer.from(words)]);
}

describe('the end of a log', () => {
  it('is asked for by lines, and comes without the framing', async () => {
    daemon.on('GET', path, (response) => {
      response.writeHead(200).write(frame(2, 'ERROR: one\n'));
      response.end(frame(1, 'two\n'));
    });
    expect(await engine.readLogTail(id)).toBe('ERROR: one\ntwo\n');
    const { searchParams } = new URL(`http://engine${daemon.seen.at(-1)?.url ?? ''}`);
    expect(Object.fromEntries(searchParams)).toEqual({ stdout: '1', stderr: '1', tail: '7' });
  });

  it('is not waited for any longer than its deadline', async () => {
    daemon.on('GET', path, (response) => {
      response.writeHead(200).write(frame(2, 'the rest never comes'));
    });
    await expect(engine.readLogTail(id)).rejects.toThrow('no answer within 300 ms');
  });

  it('is not read on where an engine sends a whole log', async () => {
    let sending: NodeJS.Timeout | undefined;
    daemon.on('GET', path, (response) => {
      response.writeHead(200);
      sending = setInterval(() => response.write(frame(1, 'x'.repeat(32))), 5);
      response.once('close', () => clearInterval(sending));
    });
    expect(await engine.readLogTail(id)).toMatch(/^x{60,100}$/);
  });

  it('of a log driver that cannot be read is an error with the reason, on old engines as well', async () => {
    const reason = 'configured logging reader does not support reading';
    daemon.on('GET', path, text(200, `Error running logs job: ${reason}\n`));
    await expect(engine.readLogTail(id)).rejects.toMatchObject({ originalMessage: reason });
    daemon.on('GET', path, json(501, { message: reason }));
    await expect(engine.readLogTail(id)).rejects.toMatchObject({ originalMessage: reason });
  });
});
