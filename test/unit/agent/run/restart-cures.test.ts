import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findDeadSocket, findOldResolver, watchCures } from '../../../../src/agent/run/restart-cures.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { defaultLimits as limits } from '../../../../src/support/limits/limits.ts';

let folder: string;
let hostRoot: string;
let servers: Server[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cures-'));
  hostRoot = join(folder, 'proc/1/root');
  servers = [];
  await mkdir(join(hostRoot, 'run'), { recursive: true });
  await mkdir(join(hostRoot, 'etc'), { recursive: true });
  await mkdir(join(hostRoot, 'var'));
  // As on a real host; a plain join would lead into our own /run.
  await symlink('/run', join(hostRoot, 'var/run'));
});
afterEach(async () => {
  for (const server of servers) server.close();
  await rm(folder, { recursive: true, force: true });
});

const paths = (): ReturnType<typeof pathsBelow> => pathsBelow(folder, join(folder, 'proc'));

async function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.end());
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return server;
}

/** A socket file whose server is gone: a connection is refused. */
async function leaveDead(path: string): Promise<void> {
  const server = await listen(`${path}.alive`);
  await rename(`${path}.alive`, path);
  await new Promise((resolve) => server.close(resolve));
}

describe('a dead socket of the engine', () => {
  const socketPath = (): string => join(folder, 'docker.sock');
  const check = async () =>
    findDeadSocket({ paths: paths(), limits, socketPath: socketPath(), hostSocket: '/var/run/docker.sock' });

  it("is found when the host's socket answers", async () => {
    await leaveDead(socketPath());
    await listen(join(hostRoot, 'run/docker.sock'));
    expect(await check()).toMatchObject({ cause: 'socket-dead' });
  });

  it('is none when the engine is down, which no restart of the agent cures', async () => {
    await leaveDead(socketPath());
    await leaveDead(join(hostRoot, 'run/docker.sock'));
    expect(await check()).toBeUndefined();
    await rm(join(hostRoot, 'run/docker.sock'));
    expect(await check()).toBeUndefined();
  });

  it('is none when it answers, or is not there', async () => {
    await listen(join(hostRoot, 'run/docker.sock'));
    expect(await check()).toBeUndefined();
    await listen(socketPath());
    expect(await check()).toBeUndefined();
  });
});

describe('a socket that stays dead', () => {
  const socketPath = (): string => join(folder, 'docker.sock');

  /** Watches for some looks of HEALTH_PROBE each. @returns the looks after which a restart was asked for */
  async function watchFor(
    looks: number,
    before: (look: number) => Promise<void>,
  ): Promise<readonly number[]> {
    const asked: number[] = [];
    let look = 0;
    const clock = {
      ...systemClock,
      elapsed: () => look * limits.HEALTH_PROBE,
      async sleep(): Promise<void> {
        look += 1;
        if (look > looks) throw new Error('over');
        await before(look);
      },
    };
    const watching = watchCures({
      ...{ paths: paths(), limits, clock, signal: new AbortController().signal },
      ...{ socketPath: socketPath(), hostSocket: '/var/run/docker.sock', serverHost: '' },
      isUnanswered: () => false,
      onChecked: () => undefined,
      onDeadSocket: () => asked.push(look),
    });
    await expect(watching).rejects.toThrow('over');
    return asked;
  }

  beforeEach(async () => {
    // What tells a process that it sees the host: process 1 has another mount namespace.
    await mkdir(join(folder, 'proc/self/ns'), { recursive: true });
    await mkdir(join(folder, 'proc/1/ns'), { recursive: true });
    await symlink('mnt:[1]', join(folder, 'proc/1/ns/mnt'));
    await symlink('mnt:[2]', join(folder, 'proc/self/ns/mnt'));
    await listen(join(hostRoot, 'run/docker.sock'));
  });

  it('restarts the agent after a minute, if it was alive when the agent started', async () => {
    const alive = await listen(socketPath());
    const asked = await watchFor(5, async (look) => {
      if (look !== 2) return;
      await new Promise((resolve) => alive.close(resolve));
      await leaveDead(socketPath());
    });
    expect(asked).toEqual([4, 5]);
  });

  it('restarts nothing if it was dead from the start: a restart has not cured it', async () => {
    await leaveDead(socketPath());
    expect(await watchFor(5, async () => Promise.resolve())).toEqual([]);
  });
});

describe("another resolv.conf on the host than at the agent's start", () => {
  const file = (): string => join(hostRoot, 'etc/resolv.conf');
  const check = async (atStart: string | undefined, serverHost: string, isUnanswered = true) =>
    findOldResolver({ paths: paths(), limits, serverHost, isUnanswered: () => isUnanswered }, atStart);
  // Names below `.invalid` never exist (RFC 2606).
  const nowhere = 'rancher.invalid';

  it('is found when the name of the server cannot be resolved', async () => {
    await writeFile(file(), 'nameserver 10.0.0.2\n');
    expect(await check('nameserver 10.0.0.1\n', nowhere)).toMatchObject({ cause: 'resolver-changed' });
  });

  it.each<[string, string | undefined, string, boolean]>([
    ['it is the same', 'nameserver 10.0.0.2\n', nowhere, true],
    ['it was not seen at the start', undefined, nowhere, true],
    ['the server answers', 'nameserver 10.0.0.1\n', nowhere, false],
    ['the name is found', 'nameserver 10.0.0.1\n', 'localhost', true],
    ['there is no name to resolve', 'nameserver 10.0.0.1\n', '', true],
  ])('is no trouble when %s', async (_title, atStart, serverHost, isUnanswered) => {
    await writeFile(file(), 'nameserver 10.0.0.2\n');
    expect(await check(atStart, serverHost, isUnanswered)).toBeUndefined();
  });

  it('is no trouble when it cannot be read any more', async () => {
    expect(await check('nameserver 10.0.0.1\n', nowhere)).toBeUndefined();
  });
});
