import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { findReplacedSocket } from '../../../src/host/replaced-socket.ts';
import { pathsBelow } from '../../../src/support/configuration.ts';

/* What the kernel shows of a socket file that was bound into a container, and of the host's own mounts. */

let folder: string;
const socket = '/var/run/docker.sock';
const mountLine = (root: string, point: string, device = '0:22'): string =>
  `50 40 ${device} ${root} ${point} rw,nosuid shared:5 - tmpfs tmpfs rw\n`;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replaced-socket-'));
  for (const process of ['1', 'self']) await mkdir(join(folder, process, 'ns'), { recursive: true });
  await symlink('mnt:[1]', join(folder, '1/ns/mnt'));
  await symlink('mnt:[2]', join(folder, 'self/ns/mnt'));
  await mkdir(join(folder, '1/root'), { recursive: true });
  await writeFile(join(folder, '1/mountinfo'), mountLine('/', '/run') + mountLine('/', '/', '8:1'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

async function look(own: string): ReturnType<typeof findReplacedSocket> {
  await writeFile(join(folder, 'self/mountinfo'), own);
  return findReplacedSocket(pathsBelow(join(folder, 'rancher'), folder), socket);
}

it.each([
  ['the socket of today', mountLine('/docker.sock', socket)],
  ['a whole folder, which has the new socket', mountLine('/docker.sock//deleted', '/var/run')],
  ['another file', mountLine('/other.sock//deleted', '/run/other.sock')],
  ['nothing of it', ''],
])('is not replaced: %s', async (_, own) => {
  expect(await look(own)).toBeUndefined();
});

it.each([
  ['/docker.sock', '/run', '/', 'run/docker.sock'],
  ['/engine-1.sock', '/run', '/', 'run/engine-1.sock'],
  ['/srv/host/run/docker.sock', '/run', '/srv/host/run', 'run/docker.sock'],
])(
  'has the place of the old one on the host: %s of the file system at %s',
  async (file, point, root, found) => {
    await writeFile(
      join(folder, '1/mountinfo'),
      mountLine(root, point) + mountLine('/', '/', '8:1') + mountLine('/elsewhere', '/mnt'),
    );
    expect(await look(mountLine(`${file}//deleted`, socket))).toEqual({
      present: join(folder, '1/root', found),
    });
  },
);

it('follows the links of the host in the host', async () => {
  await mkdir(join(folder, '1/root/run'), { recursive: true });
  await mkdir(join(folder, '1/root/var'), { recursive: true });
  await symlink('/run', join(folder, '1/root/var/run'));
  await writeFile(join(folder, '1/mountinfo'), mountLine('/', '/var/run'));
  expect(await look(mountLine('/docker.sock//deleted', socket))).toEqual({
    present: join(folder, '1/root/run/docker.sock'),
  });
});

it('is dead for good where the host cannot be seen', async () => {
  await rm(join(folder, 'self/ns/mnt'));
  await symlink('mnt:[1]', join(folder, 'self/ns/mnt'));
  expect(await look(mountLine('/docker.sock//deleted', socket))).toEqual({ present: undefined });
});

it('is unknown where the kernel shows nothing', async () => {
  await rm(join(folder, 'self'), { recursive: true });
  expect(await findReplacedSocket(pathsBelow('/nowhere', folder), socket)).toBeUndefined();
});
