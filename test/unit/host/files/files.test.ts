import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HostFolderUnwritableError } from '../../../../src/host/errors.ts';
import {
  createFileAtomically,
  makeFolder,
  removeTemporaryFiles,
  writeFileAtomically,
} from '../../../../src/host/files/files.ts';
import { isRoot, onReadOnly, onSmallDisk } from './small-disk.ts';

let folder: string;
const mode = 0o644;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'host-files-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('writeFileAtomically', () => {
  it('replaces the text and sets the mode whatever the umask', async () => {
    const file = join(folder, 'a');
    const umask = process.umask(0o077);
    try {
      await writeFileAtomically(file, 'one', { mode });
      await writeFileAtomically(file, 'two', { mode });
    } finally {
      process.umask(umask);
    }
    expect(await readFile(file, 'utf8')).toBe('two');
    expect((await stat(file)).mode & 0o777).toBe(0o644);
    expect(await readdir(folder)).toEqual(['a']);
  });

  it('leaves the old text and no temporary file when it fails', async () => {
    const file = join(folder, 'a');
    await mkdir(file);
    await expect(writeFileAtomically(file, 'text', { mode })).rejects.toMatchObject({ systemCode: 'EISDIR' });
    expect(await readdir(folder)).toEqual(['a']);
  });

  it.runIf(isRoot)('leaves the old text and no temporary file when the disk is full', async () => {
    await onSmallDisk(folder, async () => {
      const file = join(folder, 'a');
      await writeFileAtomically(file, 'old', { mode });
      const error: unknown = await writeFileAtomically(file, 'x'.repeat(200_000), { mode }).catch(
        (thrown: unknown) => thrown,
      );
      expect(error).toBeInstanceOf(HostFolderUnwritableError);
      expect(error).toMatchObject({ systemCode: 'ENOSPC' });
      expect(await readFile(file, 'utf8')).toBe('old');
      expect(await readdir(folder)).toEqual(['a']);
    });
  });

  it('clears away what writers that were killed left, but not what one is writing now', async () => {
    await writeFile(join(folder, '.a.0123456789ab.tmp'), 'left');
    await utimes(join(folder, '.a.0123456789ab.tmp'), 1_000, 1_000);
    await writeFile(join(folder, '.a.ba9876543210.tmp'), 'now');
    await writeFileAtomically(join(folder, 'a'), 'text', { mode });
    expect((await readdir(folder)).sort()).toEqual(['.a.ba9876543210.tmp', 'a']);
  });

  it('shows readers the old text or the new one, never a part', async () => {
    const file = join(folder, 'a');
    const texts = ['1'.repeat(50_000), '2'.repeat(50_000)];
    await writeFileAtomically(file, texts[0] ?? '', { mode });
    const writers = Promise.all(
      Array.from({ length: 40 }, (_, n) => writeFileAtomically(file, texts[n % 2] ?? '', { mode })),
    );
    let done = false;
    void writers.then(() => (done = true));
    let reads = 0;
    for (; !(done as boolean); reads += 1) expect(texts).toContain(await readFile(file, 'utf8'));
    expect(reads).toBeGreaterThan(0);
    await writers;
  });
});

describe('createFileAtomically', () => {
  it('lets one of many make the file', async () => {
    const file = join(folder, 'key');
    const made = await Promise.all(
      Array.from({ length: 10 }, (_, n) => createFileAtomically(file, `${n}`, { mode: 0o600 })),
    );
    expect(made.filter(Boolean)).toHaveLength(1);
    expect(await readFile(file, 'utf8')).toBe(String(made.indexOf(true)));
    expect(await readdir(folder)).toEqual(['key']);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });
});

describe('makeFolder', () => {
  it('makes what is missing and is content with what is there', async () => {
    await makeFolder(join(folder, 'a/b/c'));
    await makeFolder(join(folder, 'a/b/c'));
    expect((await stat(join(folder, 'a/b/c'))).isDirectory()).toBe(true);
  });

  it('comes back where the system says ENOENT for ever (Node itself does not)', async () => {
    await expect(makeFolder('/proc/entrypoint/a')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('says so when a file is in the way', async () => {
    await writeFile(join(folder, 'file'), '');
    for (const path of ['file/a', 'file']) {
      const error: unknown = await makeFolder(join(folder, path)).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(HostFolderUnwritableError);
      expect(error).toMatchObject({ systemCode: 'ENOTDIR', hint: 'move that file away' });
      expect(String(error)).toContain('there is a file where a folder should be');
    }
  });

  it.runIf(isRoot)('knows a read-only file system, which Node calls ENOENT', async () => {
    await onReadOnly(folder, async () => {
      await expect(makeFolder(join(folder, 'a/b'))).rejects.toMatchObject({ systemCode: 'EROFS' });
    });
  });
});

describe('removeTemporaryFiles', () => {
  it('removes what every writer left, however young, and nothing else', async () => {
    const others = ['status.json', '.hidden', '.a.tmp', 'a.0123456789ab.tmp'];
    const leftovers = ['.status.json.0123456789ab.tmp', '.reported.json.ba9876543210.tmp'];
    for (const name of [...others, ...leftovers]) await writeFile(join(folder, name), '');
    await removeTemporaryFiles(folder);
    expect((await readdir(folder)).sort()).toEqual([...others].sort());
  });

  it('costs nobody else a write: one whose temporary file is taken away is done again', async () => {
    const file = join(folder, 'status.json');
    const text = 'x'.repeat(8_000_000);
    const writing = writeFileAtomically(file, text, { mode });
    const isThere = async (): Promise<boolean> =>
      (await readdir(folder)).some((name) => name.endsWith('.tmp'));
    await vi.waitFor(async () => expect(await isThere()).toBe(true), { interval: 0 });
    await removeTemporaryFiles(folder);
    expect(await readdir(folder)).not.toContain('status.json');
    await writing;
    expect((await readFile(file, 'utf8')) === text).toBe(true);
    expect(await readdir(folder)).toEqual(['status.json']);
  });

  it.each(['writeFileAtomically', 'createFileAtomically'] as const)(
    'leaves %s the error of a folder that is gone',
    async (name) => {
      const write = { writeFileAtomically, createFileAtomically }[name];
      await expect(write(join(folder, 'gone/a'), 'text', { mode })).rejects.toMatchObject({ code: 'ENOENT' });
    },
  );
});
