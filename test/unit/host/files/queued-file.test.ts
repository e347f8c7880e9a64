import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeFileAtomically } from '../../../../src/host/files/files.ts';
import { QueuedFile } from '../../../../src/host/files/queued-file.ts';
import { silentLog } from '../../../../src/support/log.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'queued-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

it('a disk that does not answer keeps one write, nobody waits, and the newest text comes when it answers', async () => {
  const path = join(folder, 'ours/record');
  const answer = Promise.withResolvers<undefined>();
  let writes = 0;
  const file = new QueuedFile(path, { file: 0o600, folder: 0o700 }, silentLog, async (...call) => {
    writes += 1;
    await answer.promise;
    await writeFileAtomically(...call);
  });
  for (let number = 1; number <= 200; number += 1) file.put(`text ${number}`);
  await expect.poll(() => writes).toBe(1);
  file.put('the newest text');
  expect(writes).toBe(1);
  answer.resolve(undefined);
  await file.idle();
  expect(await readFile(path, 'utf8')).toBe('the newest text');
  expect(writes).toBe(2);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, 'ours'))).mode & 0o777).toBe(0o700);
});

it('a write that fails is logged once, throws nowhere, and the next one is tried', async () => {
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (message: string) => warnings.push(message) };
  const isFull = { now: true };
  const file = new QueuedFile(join(folder, 'record'), { file: 0o644 }, log, async (...call) => {
    if (isFull.now) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' });
    await writeFileAtomically(...call);
  });
  for (const text of ['one', 'two']) {
    file.put(text);
    await file.idle();
  }
  isFull.now = false;
  file.put('three');
  await file.idle();
  expect(await readFile(join(folder, 'record'), 'utf8')).toBe('three');
  expect(warnings).toHaveLength(1);
});
