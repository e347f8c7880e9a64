import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { detachesMounts, isContainerMount } from '../../../../src/host/mounts/of-containers.ts';
import { parseMountinfo } from '../../../../src/host/mounts/table.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';

const id = 'ab12'.repeat(16);
const line = (mountPoint: string, root = '/'): string =>
  `36 35 98:0 ${root} ${mountPoint} rw,noatime - ext4 /dev/sda rw`;

const findContainerMounts = (mountinfo: string): readonly string[] =>
  parseMountinfo(mountinfo)
    .filter(isContainerMount)
    .map(({ mountPoint }) => mountPoint);

describe("others' containers' mounts", () => {
  it.each([
    ['overlay2', `/rootfs/var/lib/docker/overlay2/${id}/merged`],
    ['overlay', `/var/lib/docker/overlay/${id}/merged`],
    ['devicemapper', `/var/lib/docker/devicemapper/mnt/${id}`],
    ['aufs', `/var/lib/docker/aufs/mnt/${id}-init`],
    ['shared memory', `/var/lib/docker/containers/${id}/shm`],
    ['shared memory of newer engines', `/data/docker/containers/${id}/mounts/shm`],
  ])('are known by where they are mounted: %s', (_driver, mountPoint) => {
    expect(findContainerMounts(line(mountPoint))).toEqual([mountPoint]);
  });

  const device = `/dev/mapper/docker-254:0-10699-${id}`;
  const onDevice = (mountPoint: string, root: string): string =>
    `36 35 254:3 ${root} ${mountPoint} rw,relatime - ext4 ${device} rw`;

  it.each([
    ['/mnt/kept', '/rootfs'],
    ['/mnt/kept', '/'],
  ])("are known by their device at any other place: %s, of the device's folder %s", (mountPoint, root) => {
    expect(findContainerMounts(onDevice(mountPoint, root))).toEqual([mountPoint]);
  });

  it.each([
    ["a container's own root on devicemapper", onDevice('/', '/rootfs')],
    ["a bind inside a container's own root", onDevice('/data', '/rootfs/srv')],
    ["a container's own files", line('/etc/hosts', `/var/lib/docker/containers/${id}/hosts`)],
    ["a container's own root", line('/')],
    ['the Docker root itself', line('/var/lib/docker/overlay2')],
    ['a volume', line(`/var/lib/docker/volumes/${id}/_data`)],
  ])('%s is none', (_title, mountinfo) => {
    expect(findContainerMounts(mountinfo)).toEqual([]);
  });
});

it.each([
  ['3.10.0-327.el7.x86_64', undefined, false],
  ['3.10.0-1160.el7.x86_64', '1\n', true],
  ['3.10.0-1160.el7.x86_64', '0\n', false],
  ['3.17.8', undefined, false],
  ['3.18.0', undefined, true],
  ['4.4.0-130-generic', undefined, true],
  ['6.18.5', undefined, true],
])(
  'kernel %s with may_detach_mounts %j: mount points can be removed: %s',
  async (release, setting, expected) => {
    const proc = await mkdtemp(join(tmpdir(), 'proc-'));
    if (setting !== undefined) {
      await mkdir(join(proc, 'sys/fs'), { recursive: true });
      await writeFile(join(proc, 'sys/fs/may_detach_mounts'), setting);
    }
    expect(await detachesMounts(pathsBelow('/x', proc), release)).toBe(expected);
    await rm(proc, { recursive: true, force: true });
  },
);
