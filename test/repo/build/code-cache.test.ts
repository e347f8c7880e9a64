import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../../..');
/** Threads that read files: with another number of them, another file is read first. */
const threads = ['1', '2', '3', '4', '1', '2', '3', '4'];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rah-code-cache-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it('the code cache has the same bytes each time, whatever V8 compiles first', async () => {
  const caches = new Set<string>();
  for (const [index, UV_THREADPOOL_SIZE] of threads.entries()) {
    const out = join(folder, String(index));
    const environment = { ...process.env, UV_THREADPOOL_SIZE };
    await run(process.execPath, ['scripts/image/bundle.ts', '--out', out], { cwd: root, env: environment });
    caches.add(await readFile(join(out, `entrypoint.js.${process.arch}.cache`), 'base64'));
  }
  expect(caches.size).toBe(1);
}, 180_000);

it('a cache that V8 does not take fails the build', async () => {
  const bundle = join(folder, '0', 'entrypoint.js');
  const number = run(process.execPath, ['scripts/image/number-functions.ts', bundle, bundle], { cwd: root });
  await expect(number).rejects.toMatchObject({
    stderr: expect.stringContaining('V8 does not take') as string,
  });
});
