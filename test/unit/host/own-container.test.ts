import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  findContainerInCgroup,
  findContainerInHostname,
  findContainerInMountinfo,
  findOwnContainer,
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

describe('findOwnContainer', () => {
  async function find(files: Record<string, string>, hostname: string): Promise<readonly string[]> {
    const proc = await mkdtemp(join(tmpdir(), 'own-container-'));
    try {
      await mkdir(join(proc, 'self'));
      for (const [name, text] of Object.entries(files)) await writeFile(join(proc, 'self', name), text);
      return await findOwnContainer(pathsBelow('/none', proc), hostname);
    } finally {
      await rm(proc, { recursive: true });
    }
  }

  const mounted = (which: string): string =>
    `1 2 8:1 /var/lib/docker/containers/${which}/hosts /etc/hosts rw - ext4 /dev/sda1 rw\n`;

  it("is sure with the host's network, where the name is the host's", async () => {
    expect(await find({ cgroup: '0::/\n', mountinfo: mounted(id) }, 'web-1')).toEqual([id]);
  });

  it('prefers itself over the container whose network it shares', async () => {
    expect(
      await find({ cgroup: `4:cpu:/docker/${id}\n`, mountinfo: mounted(other) }, other.slice(0, 12)),
    ).toEqual([id, other]);
  });

  it('has the hostname when nothing else tells', async () => {
    expect(await find({}, '4f1c0ffee012')).toEqual(['4f1c0ffee012']);
  });

  it('does not name one container twice', async () => {
    expect(await find({ cgroup: `0::/docker/${id}\n`, mountinfo: mounted(id) }, id.slice(0, 12))).toEqual([
      id,
    ]);
  });

  it('finds nothing on an ordinary host', async () => {
    expect(await find({ cgroup: '0::/init.scope\n', mountinfo: '' }, 'web-1')).toEqual([]);
  });
});
