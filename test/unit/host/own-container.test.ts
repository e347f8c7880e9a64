import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  findContainerInCgroup,
  findContainerInHostname,
  findContainerInMountinfo,
  candidatesOf,
  findRootLayers,
  readOwnTraces,
  type OwnTraces,
} from '../../../src/host/own-container.ts';
import { pathsBelow } from '../../../src/support/configuration.ts';

const id = '4f1c0ffee0123456789abcdef0123456789abcdef0123456789abcdef0123456';
const other = 'b0b0'.repeat(16);

describe('findContainerInMountinfo', () => {
  it.each([
    [
      '1.10 on ext4',
      `120 99 253:0 /var/lib/docker/containers/${id}/resolv.conf /etc/resolv.conf rw,relatime - xfs /dev/mapper/centos-root rw`,
    ],
    [
      '28, Docker root a disk of its own',
      `1391 1373 259:1 /containers/${id}/hostname /etc/hostname rw,relatime - ext4 /dev/nvme1n1 rw`,
    ],
    [
      'the folder of all containers a file system of its own',
      `1 2 8:17 /${id}/hostname /etc/hostname rw - ext4 /dev/sdb1 rw`,
    ],
    ['moved Docker root', `1 2 8:1 /data/docker/containers/${id}/hosts /etc/hosts rw - ext4 /dev/sda1 rw`],
    [
      'userns-remap',
      `1 2 8:1 /var/lib/docker/165536.165536/containers/${id}/hosts /etc/hosts rw - ext4 /dev/sda1 rw`,
    ],
    [
      'file replaced on the host',
      `1 2 8:1 /docker/containers/${id}/resolv.conf//deleted /etc/resolv.conf rw - ext4 /dev/sda1 rw`,
    ],
  ])('%s', (_case, line) => {
    expect(findContainerInMountinfo(`1 0 0:1 / / rw - overlay overlay rw\n${line}\n`)).toBe(id);
  });

  it.each([
    [
      "another container's file, bound with the Docker root",
      `1 2 8:1 /var/lib/docker/containers/${other}/hosts /var/lib/docker/containers/${other}/hosts rw - ext4 x rw`,
    ],
    [
      'podman',
      `1 2 0:25 /containers/storage/overlay-containers/${id}/userdata/hostname /etc/hostname rw - tmpfs tmpfs rw`,
    ],
    ['an ordinary host', '22 27 0:21 / /proc rw,relatime - proc proc rw'],
    ['nothing', ''],
  ])('finds none in %s', (_case, text) => {
    expect(findContainerInMountinfo(text)).toBeUndefined();
  });
});

describe('findContainerInCgroup', () => {
  it.each([
    [
      'v1, cgroupfs (1.10)',
      `11:perf_event:/docker/${id}\n4:cpuset:/docker/${id}\n1:name=systemd:/docker/${id}\n`,
    ],
    [
      'v1, systemd driver (CentOS 7)',
      `10:devices:/system.slice/docker-${id}.scope\n1:name=systemd:/system.slice/docker-${id}.scope\n`,
    ],
    ['v2, host cgroup namespace, systemd', `0::/system.slice/docker-${id}.scope\n`],
    ['v2, host cgroup namespace, cgroupfs', `0::/docker/${id}\n`],
    ['hybrid: v2 line first', `0::/\n5:cpu:/docker/${id}\n`],
    ['own cgroup parent', `3:cpu:/rancher/agents/${id}\n`],
    ['an engine in a container', `3:cpu:/docker/${other}/docker/${id}\n`],
    ['a process moved below', `0::/system.slice/docker-${id}.scope/init\n`],
  ])('%s', (_case, text) => {
    expect(findContainerInCgroup(text)).toBe(id);
  });

  it.each([
    ['v2, private namespace (20.10 – 28)', '0::/\n'],
    ['an ordinary host', '1:name=systemd:/user.slice/user-0.slice/session-1.scope\n'],
    ['nothing', ''],
  ])('finds none in %s', (_case, text) => {
    expect(findContainerInCgroup(text)).toBeUndefined();
  });
});

describe('findContainerInHostname', () => {
  it('takes twelve hex digits only', () => {
    expect(findContainerInHostname('4f1c0ffee012')).toBe('4f1c0ffee012');
    for (const name of ['node1', '4F1C0FFEE012', '4f1c0ffee0123', 'ip-10-0-0-1', '']) {
      expect(findContainerInHostname(name)).toBeUndefined();
    }
  });
});

describe('findRootLayers', () => {
  const layer = 'c0de'.repeat(16);
  const below = 'face'.repeat(16);

  it.each([
    [
      'overlay2',
      `1 2 0:50 / / rw - overlay overlay rw,lowerdir=/d/overlay2/l/A:/d/overlay2/${below}/diff,upperdir=/d/overlay2/${layer}/diff,workdir=/d/overlay2/${layer}/work`,
    ],
    [
      'overlay (1.10)',
      `1 2 0:50 / / rw - overlay overlay rw,lowerdir=/d/overlay/${below}/root,upperdir=/d/overlay/${layer}/upper`,
    ],
    ['devicemapper', `1 2 253:7 /rootfs / rw - ext4 /dev/mapper/docker-253:0-131-${layer} rw`],
    ['zfs', `1 2 0:50 / / rw - zfs pool/docker/${layer} rw`],
    ['btrfs', `1 2 0:30 /docker/btrfs/subvolumes/${layer} / rw - btrfs /dev/sda1 rw`],
    ['vfs', `1 2 8:1 /var/lib/docker/vfs/dir/${layer} / rw - ext4 /dev/sda1 rw`],
  ])('%s', (_case, line) => {
    expect(findRootLayers(`${line}\n3 1 0:5 / /proc rw - proc proc rw\n`)).toEqual([layer]);
  });

  it.each([
    [
      "containerd's image store",
      '1 2 0:50 / / rw - overlay overlay rw,upperdir=/c/snapshots/38/fs,workdir=/c/snapshots/38/work',
    ],
    ['aufs', '1 2 0:50 / / rw - aufs none rw,si=b8c2,dio,dirperm1'],
    ['an ordinary host', '22 1 8:1 / / rw - ext4 /dev/sda1 rw'],
    ['nothing', ''],
  ])('finds none with %s', (_case, text) => {
    expect(findRootLayers(text)).toEqual([]);
  });
});

describe('what the kernel shows of our container', () => {
  async function read(
    files: Record<string, string>,
    namespaces: Readonly<Record<string, string>> = {},
  ): Promise<OwnTraces> {
    const proc = await mkdtemp(join(tmpdir(), 'own-container-'));
    try {
      await mkdir(join(proc, 'self'));
      for (const [name, text] of Object.entries(files)) await writeFile(join(proc, 'self', name), text);
      for (const [pid, target] of Object.entries(namespaces)) {
        await mkdir(join(proc, pid, 'ns'), { recursive: true });
        await symlink(target, join(proc, pid, 'ns/mnt'));
      }
      return await readOwnTraces(pathsBelow('/none', proc), 'web-1');
    } finally {
      await rm(proc, { recursive: true });
    }
  }

  const mounted = `1 2 8:1 /${other}/hosts /etc/hosts rw - ext4 /dev/sdb1 rw\n`;
  const traces: OwnTraces = {
    cgroup: undefined,
    files: undefined,
    hostname: undefined,
    layers: [],
    mountNamespace: undefined,
  };

  it('is read from its files', async () => {
    expect(await read({ cgroup: `0::/docker/${id}\n`, mountinfo: mounted })).toEqual({
      ...traces,
      cgroup: id,
      files: other,
    });
    expect(await read({})).toEqual(traces);
  });

  it('has a mount namespace to compare with only beside the processes of the host', async () => {
    expect((await read({}, { 1: 'mnt:[1]', self: 'mnt:[2]' })).mountNamespace).toBe('mnt:[2]');
    expect((await read({}, { 1: 'mnt:[2]', self: 'mnt:[2]' })).mountNamespace).toBeUndefined();
    expect((await read({}, { self: 'mnt:[2]' })).mountNamespace).toBeUndefined();
  });

  it('gives candidates, the surest first, and none twice', () => {
    expect(candidatesOf({ ...traces, cgroup: id, files: other, hostname: other.slice(0, 12) })).toEqual([
      id,
      other,
    ]);
    expect(candidatesOf({ ...traces, files: id, hostname: id.slice(0, 12) })).toEqual([id]);
    expect(candidatesOf({ ...traces, hostname: '4f1c0ffee012' })).toEqual(['4f1c0ffee012']);
    expect(candidatesOf(traces)).toEqual([]);
  });
});
