import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { findDaemonsApart } from '../../../../src/host/mounts/daemons.ts';

interface FakeProcess {
  readonly comm: string;
  readonly words?: readonly string[];
  readonly mounts?: string;
  readonly pids?: string;
  readonly cgroup?: string;
}

const id = 'c'.repeat(64);

async function makeProc(...processes: readonly FakeProcess[]): Promise<{ proc: string }> {
  const proc = await mkdtemp(join(tmpdir(), 'daemons-'));
  onTestFinished(() => rm(proc, { recursive: true, force: true }));
  for (const [index, { comm, words = [], mounts = 'host', pids = 'host', cgroup = '/' }] of [
    { comm: 'systemd' },
    ...processes,
  ].entries()) {
    const folder = join(proc, String(index + 1));
    await mkdir(join(folder, 'ns'), { recursive: true });
    await symlink(mounts, join(folder, 'ns/mnt'));
    await symlink(pids, join(folder, 'ns/pid'));
    await writeFile(join(folder, 'comm'), `${comm}\n`);
    await writeFile(join(folder, 'cmdline'), ['/usr/bin/x', ...words, ''].join('\0'));
    await writeFile(join(folder, 'cgroup'), `4:cpu:${cgroup}\n`);
  }
  return { proc };
}

const apart = { mounts: 'own' };

it.each<[string, FakeProcess, boolean]>([
  ['dockerd', { comm: 'dockerd', ...apart }, true],
  ['dockerd of Red Hat', { comm: 'dockerd-current', ...apart }, true],
  ['the daemon of 1.10', { comm: 'docker', words: ['--debug', 'daemon', '-H', 'fd://'], ...apart }, true],
  ['a daemon in the mounts of the host', { comm: 'dockerd' }, false],
  ['a command in a container', { comm: 'docker', words: ['run', 'image', 'daemon'], ...apart }, false],
  ['a daemon in a container', { comm: 'dockerd', ...apart, pids: 'own' }, false],
  ['one with --pid=host', { comm: 'dockerd', ...apart, cgroup: `/docker/${id}` }, false],
  ['another service with mounts of its own', { comm: 'httpd', ...apart }, false],
])('%s', async (_title, process, isFound) => {
  expect(await findDaemonsApart(await makeProc(process), 100)).toEqual(isFound ? [2] : []);
});

it('looks at no more processes than allowed, and leaves out what cannot be read', async () => {
  const daemon: FakeProcess = { comm: 'dockerd', ...apart };
  const paths = await makeProc(daemon, daemon, daemon);
  await rm(join(paths.proc, '3/comm'));
  expect(await findDaemonsApart(paths, 100)).toEqual([2, 4]);
  expect(await findDaemonsApart(paths, 3)).toEqual([2]);
});
