import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ServingSummary } from '../../../../src/host/files/serving-record.ts';
import {
  parseStatus,
  readStatus,
  stateFileOf,
  statusFileOf,
  writeServing,
  writeStatus,
  type StatusDraft,
} from '../../../../src/host/files/status.ts';
import { pathsBelow, type Paths } from '../../../../src/support/configuration.ts';

let folder: string;
let paths: Paths;
const noon = Date.parse('2016-07-01T12:00:00Z');
const draft: StatusDraft = {
  state: 'working',
  summary: 'upgrading',
  command: 'upgrade',
  entrypointVersion: '0.1.0',
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'host-status-'));
  paths = pathsBelow(folder);
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function write(over: Partial<StatusDraft> = {}, now = noon): Promise<void> {
  await writeStatus(
    { paths, now, scrub: (text) => text.replaceAll('hunter2', '***') },
    { ...draft, ...over },
  );
}

describe('the status file', () => {
  it('cannot be written, for a folder in its place: the word of the state is the new one all the same', async () => {
    await write({ state: 'ok' });
    await rm(statusFileOf(paths));
    await mkdir(join(statusFileOf(paths), 'folder'), { recursive: true });
    await expect(write({ state: 'failed' })).rejects.toThrow('there is a folder where a file should be');
    expect(await readFile(stateFileOf(paths), 'utf8')).toBe('failed\n');
  });

  it('says whether the agent serves, and that part is replaced alone', async () => {
    const at = new Date(noon).toISOString();
    const serving: ServingSummary = {
      serving: 'no',
      since: at,
      updatedAt: at,
      server: 'https://rancher.example',
      container: 'c'.repeat(64),
      cause: 'bootstrap-fails',
      message: 'with hunter2',
      bootstrap: { failuresInARow: 3, lastExit: { at, status: 1, signal: null, ms: 6, byDesign: false } },
    };
    const writing = { paths, now: noon + 5_000, scrub: (text: string) => text.replaceAll('hunter2', '***') };
    await writeServing(writing, serving);
    expect(await readStatus(paths)).toEqual({ kind: 'missing' });
    await write({ state: 'failed' });
    const before = await readStatus(paths);
    if (before.kind !== 'valid') throw new Error('the status was not written');
    await writeServing(writing, serving);
    expect(await readStatus(paths)).toEqual({
      kind: 'valid',
      status: { ...before.status, serving: { ...serving, message: 'with ***' } },
    });
    // A worker is at work: what it has said since must not be replaced, nor is an old word about serving kept.
    await write({ state: 'working' });
    await writeServing(writing, serving);
    const working = await readStatus(paths);
    expect(working).toMatchObject({ kind: 'valid', status: { state: 'working' } });
    expect(working.kind === 'valid' && working.status.serving).toBeUndefined();
  });

  it('keeps who asked for the last upgrade, through what the agent says later and not through the next upgrade', async () => {
    const asker = async (): Promise<unknown> => {
      const reading = await readStatus(paths);
      return reading.kind === 'valid' ? reading.status.askedBy : reading;
    };
    await write({ state: 'failed', askedBy: 'server' });
    await write({ state: 'degraded', command: 'run' });
    expect(await asker()).toBe('server');
    await write({ state: 'working', command: 'upgrade' });
    expect(await asker()).toBeUndefined();
    await write({ state: 'ok', command: 'upgrade', askedBy: 'person' });
    await write({ state: 'ok', command: 'reconcile' });
    expect(await asker()).toBe('person');
  });

  it('reads back as it was written', async () => {
    const unremovable = [
      { name: 'rancher-agent-previous', id: 'abc', originalMessage: 'device or resource busy' },
    ];
    await write({ state: 'degraded', unremovable, cause: 'cannot-change', exitCode: 73 });
    expect(await readStatus(paths)).toEqual({
      kind: 'valid',
      status: {
        ...draft,
        version: 2,
        state: 'degraded',
        unremovable,
        cause: 'cannot-change',
        exitCode: 73,
        since: '2016-07-01T12:00:00.000Z',
        updatedAt: '2016-07-01T12:00:00.000Z',
      },
    });
  });

  it('of version 0.1 is read with the present names', async () => {
    const earlier = {
      version: 1,
      state: 'degraded',
      summary: 'the agent runs',
      cause: 'ping-pong',
      said: 'device or resource busy',
      since: '2016-07-01T12:00:00.000Z',
      updatedAt: '2016-07-01T12:00:00.000Z',
      command: 'settle',
      corpses: [{ name: 'rancher-agent-previous', id: 'abc', said: 'busy' }],
      entrypointVersion: '0.1.0',
    };
    await mkdir(paths.entrypoint, { recursive: true });
    await writeFile(statusFileOf(paths), JSON.stringify(earlier));
    expect(await readStatus(paths)).toMatchObject({
      kind: 'valid',
      status: {
        version: 2,
        command: 'reconcile',
        cause: 'flapping-requirement',
        originalMessage: 'device or resource busy',
        unremovable: [{ name: 'rancher-agent-previous', originalMessage: 'busy' }],
      },
    });
  });

  it('can be read by everybody, and the word of the state without Node', async () => {
    await write({ state: 'failed' });
    expect((await stat(statusFileOf(paths))).mode & 0o777).toBe(0o644);
    expect((await stat(paths.entrypoint)).mode & 0o777).toBe(0o755);
    expect(await readFile(stateFileOf(paths), 'utf8')).toBe('failed\n');
  });

  it('remembers since when the state lasts', async () => {
    await write({}, noon);
    await write({ phase: 'pull' }, noon + 60_000);
    expect(await readStatus(paths)).toMatchObject({
      status: { since: '2016-07-01T12:00:00.000Z', updatedAt: '2016-07-01T12:01:00.000Z', phase: 'pull' },
    });
    await write({ state: 'ok' }, noon + 120_000);
    expect(await readStatus(paths)).toMatchObject({ status: { since: '2016-07-01T12:02:00.000Z' } });
  });

  it('holds no secret, wherever it came from', async () => {
    await write({
      originalMessage: 'bad password hunter2',
      summary: 'hunter2',
      unremovable: [{ name: 'a', id: 'b', originalMessage: 'hunter2' }],
    });
    expect(await readFile(statusFileOf(paths), 'utf8')).not.toContain('hunter2');
  });

  it('is missing on a new host', async () => {
    expect(await readStatus(paths)).toEqual({ kind: 'missing' });
  });

  it('keeps the first damaged file for a person to look at, and goes on', async () => {
    await write();
    await writeFile(statusFileOf(paths), '{"version":1,"sta');
    expect(await readStatus(paths)).toMatchObject({ kind: 'damaged' });
    await write();
    await writeFile(statusFileOf(paths), 'second');
    await write();
    expect(await readStatus(paths)).toMatchObject({ kind: 'valid' });
    expect(await readFile(`${statusFileOf(paths)}.damaged`, 'utf8')).toBe('{"version":1,"sta');
  });

  it('says why it does not understand a file', () => {
    expect(parseStatus('{"version":3,"state":"splendid"}')).toEqual({
      kind: 'damaged',
      reason: 'written by a newer entrypoint (version 3, known is 2)',
    });
    expect(parseStatus('{"version":1}')).toMatchObject({
      reason: expect.stringMatching(/^state: /) as string,
    });
    expect(parseStatus('')).toMatchObject({ reason: expect.stringMatching(/not JSON$/) as string });
  });

  it('never throws on damage', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (text) => parseStatus(text).kind === 'damaged'));
  });

  it('is damaged when it can not be read', async () => {
    await write();
    await rm(statusFileOf(paths));
    await writeStatus({ paths: pathsBelow(join(statusFileOf(paths))), now: noon, scrub: String }, draft);
    expect(await readStatus(paths)).toMatchObject({
      kind: 'damaged',
      reason: expect.stringContaining('is a folder') as string,
    });
  });
});
