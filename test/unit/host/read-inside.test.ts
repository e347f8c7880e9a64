import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readInside, type InsideFile } from '../../../src/host/read-inside.ts';

/* A folder of ours stands for /proc; what lies in it, the container decides. The last tests read through the real one. */

const path = '/run/rancher-agent-entrypoint/readiness.json';
const secret = 'of the host';
let proc: string;
let root: string;

beforeEach(async () => {
  proc = await mkdtemp(join(tmpdir(), 'read-inside-'));
  root = join(proc, '17', 'root');
  await mkdir(join(root, 'run/rancher-agent-entrypoint'), { recursive: true });
  await mkdir(join(proc, 'outside/rancher-agent-entrypoint'), { recursive: true });
  await writeFile(join(proc, 'outside/rancher-agent-entrypoint/readiness.json'), secret);
});
afterEach(async () => rm(proc, { recursive: true, force: true }));

async function read(parts: Partial<InsideFile> = {}): Promise<string | undefined> {
  return readInside({ proc, pid: 17, path, maxBytes: 100, deadlineMs: 2_000, ...parts });
}

describe('a regular file', () => {
  it.each(['{"ready":true}\n', '', 'x'.repeat(100), 'ü'.repeat(50)])('is read: %.20j', async (text) => {
    await writeFile(join(root, path), text);
    expect(await read()).toBe(text);
  });

  it('of one byte too many is an error, and so is one of many', async () => {
    for (const length of [101, 5_000_000]) {
      await writeFile(join(root, path), 'x'.repeat(length));
      await expect(read()).rejects.toThrow(`${path} is longer than 100 bytes`);
    }
  });

  it('is looked for below the root, whatever dots its path has', async () => {
    await writeFile(join(root, path), 'inside');
    const dotted = '/../../outside/rancher-agent-entrypoint/readiness.json';
    await expect(read({ path: dotted })).resolves.toBeUndefined();
    expect(await read({ path: `/..//.${path}` })).toBe('inside');
  });
});

describe('nothing', () => {
  it('is there where the file is missing', async () => {
    expect(await read()).toBeUndefined();
  });

  it('is there where its folder is missing', async () => {
    await rm(join(root, 'run'), { recursive: true });
    expect(await read()).toBeUndefined();
  });

  it('is there of a process that is gone', async () => {
    await rm(join(proc, '17'), { recursive: true });
    expect(await read()).toBeUndefined();
  });
});

describe('no link is followed', () => {
  const refusal = `${path} lies behind a symbolic link, which is not followed`;

  it.each([
    [
      'an absolute one, to a file of the host',
      () => join(proc, 'outside/rancher-agent-entrypoint/readiness.json'),
    ],
    [
      'a relative one, out of the container',
      () => '../../../../outside/rancher-agent-entrypoint/readiness.json',
    ],
    ['one to nowhere', () => '/nowhere'],
    ['one to itself', () => 'readiness.json'],
  ])('in the place of the file: %s', async (_what, target) => {
    await symlink(target(), join(root, path));
    await expect(read()).rejects.toThrow(refusal);
  });

  it('in the place of the file’s folder', async () => {
    await rm(join(root, 'run/rancher-agent-entrypoint'), { recursive: true });
    await symlink(join(proc, 'outside/rancher-agent-entrypoint'), join(root, 'run/rancher-agent-entrypoint'));
    await expect(read()).rejects.toThrow(refusal);
  });

  it('in the place of the first folder', async () => {
    await rm(join(root, 'run'), { recursive: true });
    await symlink(join(proc, 'outside'), join(root, 'run'));
    await expect(read()).rejects.toThrow(refusal);
  });

  it('not even one that stays inside the container', async () => {
    await writeFile(join(root, 'run/rancher-agent-entrypoint/real.json'), 'inside');
    await symlink('real.json', join(root, path));
    await expect(read()).rejects.toThrow(refusal);
  });
});

describe('nothing but a regular file is read', () => {
  it('a folder in its place', async () => {
    await mkdir(join(root, path));
    await expect(read()).rejects.toThrow(`${path} is no regular file`);
  });

  it('a FIFO that nobody writes to keeps nobody waiting', async () => {
    execFileSync('mkfifo', [join(root, path)]);
    const begun = performance.now();
    await expect(read({ deadlineMs: 20_000 })).rejects.toThrow(`${path} is no regular file`);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  it('a file in the place of its folder', async () => {
    await rm(join(root, 'run'), { recursive: true });
    await writeFile(join(root, 'run'), 'a file');
    await expect(read()).rejects.toThrow(path);
  });

  it('a socket', async () => {
    const server = createServer().listen(join(root, path));
    await once(server, 'listening');
    await expect(read()).rejects.toThrow();
    server.close();
  });
});

it('no descriptor stays open, whatever happens', async () => {
  const countOpen = (): number =>
    execFileSync('ls', [`/proc/${process.pid}/fd`])
      .toString()
      .split('\n').length;
  await writeFile(join(root, path), 'x');
  await symlink('/nowhere', join(root, 'run/rancher-agent-entrypoint/link'));
  const before = countOpen();
  for (let i = 0; i < 20; i++) {
    await read();
    await read({ maxBytes: 0 }).catch(() => undefined);
    await read({ path: '/run/rancher-agent-entrypoint/link' }).catch(() => undefined);
    await read({ path: '/run/missing/file' });
  }
  expect(countOpen()).toBeLessThan(before + 10);
});

describe('through the real /proc', () => {
  it('a file of a living process', async () => {
    const file = join(proc, 'mine');
    await writeFile(file, 'through /proc');
    expect(await read({ proc: '/proc', pid: process.pid, path: file })).toBe('through /proc');
  });

  it('a process that has exited', async () => {
    const child = spawn('true');
    const { pid } = child;
    await once(child, 'exit');
    if (pid === undefined) throw new Error('no child');
    expect(await read({ proc: '/proc', pid, path: '/etc/hostname' })).toBeUndefined();
  });
});
