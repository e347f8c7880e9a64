import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findMountHolders, isMountOf, type HolderSearch } from '../../../../src/host/mounts/holders.ts';
import { parseMountinfo } from '../../../../src/host/mounts/table.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { isRoot } from '../files/small-disk.ts';

const corpse = 'c0de'.repeat(16);
const layer = '1a7e'.repeat(16);
const agent = 'a9e4'.repeat(16);

const mountinfo = [
  '1 0 0:1 / / rw - overlay overlay rw',
  `2 1 8:1 /containers/${agent}/hostname /etc/hostname rw - ext4 /dev/sda1 rw`,
  `3 1 0:9 / /var/lib/docker/containers/${corpse}/shm rw - tmpfs shm rw`,
  `4 1 0:7 / /var/lib/docker/overlay2/${layer}/merged rw - overlay overlay rw`,
].join('\n');

const findMountsOf = (text: string, ids: readonly string[]): readonly string[] =>
  parseMountinfo(text)
    .filter((mount) => isMountOf(mount, ids))
    .map(({ mountPoint }) => mountPoint);

describe('isMountOf', () => {
  it('finds mounts by container and by layer', () => {
    expect(findMountsOf(mountinfo, [corpse])).toEqual([`/var/lib/docker/containers/${corpse}/shm`]);
    expect(findMountsOf(mountinfo, [layer])).toEqual([`/var/lib/docker/overlay2/${layer}/merged`]);
    expect(findMountsOf(mountinfo, ['feed'.repeat(16)])).toEqual([]);
  });

  it('does not take an unknown id for one that matches everything', () => {
    expect(findMountsOf(mountinfo, [''])).toEqual([]);
    expect(findMountsOf(mountinfo, [])).toEqual([]);
  });
});

describe('findMountHolders', () => {
  let proc: string;

  beforeEach(async () => {
    proc = await mkdtemp(join(tmpdir(), 'holders-'));
  });

  afterEach(async () => {
    await rm(proc, { recursive: true, force: true });
  });

  async function addProcess(pid: number, namespace: string, files: Record<string, string>): Promise<void> {
    await mkdir(join(proc, `${pid}`, 'ns'), { recursive: true });
    await symlink(`mnt:[${namespace}]`, join(proc, `${pid}`, 'ns/mnt'));
    for (const [name, text] of Object.entries(files)) await writeFile(join(proc, `${pid}`, name), text);
  }

  const find = (over: { limits?: typeof defaultLimits; exceptPid?: number } = {}): Promise<HolderSearch> =>
    findMountHolders({
      paths: pathsBelow('/none', proc),
      ids: [corpse],
      limits: defaultLimits,
      clock: systemClock,
      ...over,
    });

  it('leaves out a process with nothing but slave mounts: an unmount reaches those', async () => {
    await addProcess(1, '100', { mountinfo: '', comm: 'systemd\n' });
    const slave = mountinfo.replaceAll(' - ', ' master:7 - ');
    expect(parseMountinfo(slave).every((mount) => mount.slave)).toBe(true);
    await addProcess(20, '200', { mountinfo: slave, comm: 'systemd-udevd\n' });
    expect(await find()).toEqual({ complete: true, holders: [] });
  });

  it('leaves out a copy of the own root: a container that binds the host sees it once more', async () => {
    const copy = `/rootfs/var/lib/docker/overlay2/${corpse}/merged`;
    const own = [
      '462 157 0:106 / / rw - overlay overlay rw',
      `504 502 0:106 / ${copy} rw - overlay overlay rw`,
    ];
    await addProcess(20, '200', { mountinfo: own.join('\n'), comm: 'sleep\n' });
    expect((await find()).holders).toEqual([]);
    const foreign = own.join('\n').replace('504 502 0:106', '504 502 0:124');
    await addProcess(21, '201', { mountinfo: foreign, comm: 'python\n', cgroup: '0::/\n' });
    expect((await find()).holders).toMatchObject([{ pid: 21, mountPoints: [copy] }]);
  });

  it("names a slave mount at another place than the engine's: no unmount reaches that", async () => {
    const bind = `36 35 254:1 /var/lib/docker/overlay2/${corpse}/diff /watched ro master:7 - ext4 /dev/vda1 rw`;
    await addProcess(20, '200', { mountinfo: bind, comm: 'sleep\n' });
    expect((await find()).holders).toMatchObject([{ pid: 20, mountPoints: ['/watched'] }]);
  });

  it('names the process, its container, and how many share its namespace', async () => {
    await addProcess(1, '100', { mountinfo: '', comm: 'systemd\n' });
    await addProcess(20, '200', { mountinfo, comm: 'python\n', cgroup: '0::/\n' });
    await addProcess(21, '200', { mountinfo, comm: 'bash\n' });
    await mkdir(join(proc, 'sys'));
    await mkdir(join(proc, '30'));
    expect(await find()).toEqual({
      complete: true,
      holders: [
        {
          pid: 20,
          command: 'python',
          processes: 2,
          container: agent,
          hostNamespace: false,
          mounts: 1,
          mountPoints: [`/var/lib/docker/containers/${corpse}/shm`],
        },
      ],
    });
  });

  it("marks the host's own namespace and leaves ourselves out", async () => {
    await addProcess(1, '100', { mountinfo, comm: 'systemd\n' });
    await addProcess(20, '200', { mountinfo, comm: 'node\n' });
    expect((await find({ exceptPid: 20 })).holders).toMatchObject([{ pid: 1, hostNamespace: true }]);
  });

  it('asks the next process of a namespace when the first one has just ended', async () => {
    await addProcess(20, '200', {});
    await addProcess(21, '200', { mountinfo, comm: 'python\n' });
    expect((await find()).holders).toMatchObject([{ pid: 21 }]);
  });

  it('ends after so many processes, and says so', async () => {
    for (let pid = 2; pid < 10; pid += 1) await addProcess(pid, `${pid}`, { mountinfo, comm: 'sleep\n' });
    const search = await find({ limits: { ...defaultLimits, HOLDERS_PROCESSES: 3 } });
    expect(search).toMatchObject({ complete: false });
    expect(search.holders).toHaveLength(3);
    expect(await find({ limits: { ...defaultLimits, HOLDERS_TOTAL: 0 } })).toEqual({
      complete: false,
      holders: [],
    });
  });

  it.runIf(isRoot)('finds a real process in a namespace of its own', async () => {
    const place = join(proc, corpse);
    await mkdir(place);
    const holder: ChildProcess = spawn(
      'unshare',
      [
        '-m',
        '--propagation',
        'private',
        'sh',
        '-c',
        `mount -t tmpfs none ${place} && echo ready && exec sleep 1000`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    try {
      await once(holder.stdout ?? holder, 'data');
      await expect
        .poll(async () => {
          const { holders } = await findMountHolders({
            paths: pathsBelow('/none'),
            ids: [corpse],
            limits: defaultLimits,
            clock: systemClock,
          });
          return holders;
        })
        .toMatchObject([{ pid: holder.pid, command: 'sleep', hostNamespace: false, mountPoints: [place] }]);
    } finally {
      holder.kill('SIGKILL');
    }
  });
});
