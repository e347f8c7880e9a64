import { execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readKernelText, readSmallFile } from '../../../../src/host/files/read.ts';
import { DeadlineError } from '../../../../src/support/deadline.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'host-read-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('a small file', () => {
  it('that is missing is known from one that cannot be read', async () => {
    expect(await readSmallFile(join(folder, 'none'))).toBeUndefined();
    await expect(readSmallFile(folder)).rejects.toThrow(/ is a folder$/);
    await writeFile(join(folder, 'file'), '');
    await expect(readSmallFile(join(folder, 'file/a'))).rejects.toMatchObject({ code: 'ENOTDIR' });
  });

  it('is read whole up to the limit, and refused one byte above it', async () => {
    const file = join(folder, 'a');
    const text = 'é'.repeat(100_000);
    await writeFile(file, text);
    expect(await readSmallFile(file, { maxBytes: 200_000 })).toBe(text);
    await expect(readSmallFile(file, { maxBytes: 199_999 })).rejects.toThrow('larger than 199999 bytes');
  });

  it('of 100 MB is refused where the caller names no limit', async () => {
    const file = join(folder, 'sparse');
    await writeFile(file, '');
    await truncate(file, 100_000_000);
    await expect(readSmallFile(file)).rejects.toThrow('larger than 1048576 bytes');
  });

  it('that grows while it is read, or has no size, is limited all the same', async () => {
    await expect(readSmallFile('/proc/self/maps', { maxBytes: 100 })).rejects.toThrow(
      'larger than 100 bytes',
    );
    expect(await readSmallFile('/proc/uptime')).toMatch(/^\d+\.\d+ /);
  });

  it('that is a FIFO, with or without a writer, a socket or a device is not read', async () => {
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(readSmallFile(pipe)).rejects.toThrow(/pipe is no regular file$/);
    const writer = spawn('sh', ['-c', 'exec yes root:x >"$0"', pipe], { stdio: 'ignore' });
    try {
      await expect(readSmallFile(pipe)).rejects.toThrow(/pipe is no regular file$/);
    } finally {
      writer.kill('SIGKILL');
    }
    await expect(readSmallFile('/dev/zero')).rejects.toThrow('/dev/zero is no regular file');
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(join(folder, 'socket'), resolve));
    await expect(readSmallFile(join(folder, 'socket'))).rejects.toThrow(/socket is no regular file$/);
    server.close();
  });

  it.each(['secret', '/dev/zero', 'nowhere', '.'])('that is a link to %s is not followed', async (target) => {
    await writeFile(join(folder, 'secret'), 'root:$6$salt$hash');
    await symlink(target, join(folder, 'link'));
    await expect(readSmallFile(join(folder, 'link'))).rejects.toThrow(
      /link is a symbolic link, which is not followed$/,
    );
  });

  it('may lie behind a link in an earlier place: a person moved the folder', async () => {
    await mkdir(join(folder, 'real'));
    await writeFile(join(folder, 'real/a'), 'text');
    await symlink('real', join(folder, 'moved'));
    expect(await readSmallFile(join(folder, 'moved/a'))).toBe('text');
  });

  it.runIf(process.platform === 'linux')(
    'on a disk that does not answer is given up at the deadline',
    async () => {
      const file = join(folder, 'a');
      await writeFile(file, 'x'.repeat(500_000));
      const before = process.cpuUsage();
      const reading = readSmallFile(file, {
        deadlineMs: 30,
        onOpen: async () => sleep(300),
      });
      await expect(reading).rejects.toBeInstanceOf(DeadlineError);
      await sleep(400);
      const { user, system } = process.cpuUsage(before);
      expect((user + system) / 1_000).toBeLessThan(200);
    },
  );
});

describe('readKernelText', () => {
  it('reads a file of the kernel whole, although its size is 0', async () => {
    const text = await readKernelText('/proc/self/mountinfo');
    expect(text).toBe(await readFile('/proc/self/mountinfo', 'utf8'));
    expect(text).not.toBe('');
    await expect(readKernelText('/proc/self/none')).rejects.toMatchObject({ code: 'ENOENT' });
  });
});
