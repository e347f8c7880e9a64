import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  judgeStorage,
  parseDevicemapper,
  parseSize,
  readStorage,
  type StorageFacts,
} from '../../../src/host/storage.ts';
import { pathsBelow } from '../../../src/support/configuration.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { isRoot, onFewInodes, onSmallDisk } from './files/small-disk.ts';

/** As on the hosts of the incident: 1.10.3, loopback, nothing deferred. */
const incident: [string, string][] = [
  ['Pool Name', 'docker-253:0-1048641-pool'],
  ['Pool Blocksize', '65.54 kB'],
  ['Base Device Size', '10.74 GB'],
  ['Backing Filesystem', 'xfs'],
  ['Data file', '/dev/loop0'],
  ['Metadata file', '/dev/loop1'],
  ['Data Space Used', '9.97 GB'],
  ['Data Space Total', '107.4 GB'],
  ['Data Space Available', '5.27 GB'],
  ['Metadata Space Used', '40.02 MB'],
  ['Metadata Space Total', '75.5 MB'],
  ['Metadata Space Available', '35.48 MB'],
  ['Udev Sync Supported', 'true'],
  ['Deferred Removal Enabled', 'false'],
  ['Deferred Deletion Enabled', 'false'],
  ['Data loop file', '/var/lib/docker/devicemapper/devicemapper/data'],
  ['Library Version', '1.02.107-RHEL7 (2015-12-01)'],
];

describe('parseSize', () => {
  it.each([
    ['40.02 MB', 40_020_000],
    ['65.54 kB', 65_540],
    ['107.4 GB', 107_400_000_000],
    ['1.5GiB', 1_610_612_736],
    ['64 KiB', 65_536],
    ['1 TB', 1e12],
    ['0 B', 0],
    ['512', 512],
    ['1e+03 kB', 1_000_000],
  ])('%s', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', 'GB', 'many', '-1 GB', '1 XB', '12:30'])('is no size: %s', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
});

describe('parseDevicemapper', () => {
  it('reads what the engine of the incident said', () => {
    expect(parseDevicemapper(incident)).toEqual({
      data: { usedBytes: 9_970_000_000, totalBytes: 107_400_000_000 },
      metadata: { usedBytes: 40_020_000, totalBytes: 75_500_000 },
      loopback: true,
      deferredRemoval: false,
      deferredDeletion: false,
      devicesToDelete: undefined,
    });
  });

  it('reads a thin pool with deferred removal', () => {
    const facts = parseDevicemapper([
      ['Pool Name', 'docker-thinpool'],
      ['Data file', ''],
      ['Data Space Used', '1.5 GiB'],
      ['Data Space Available', '0.5 GiB'],
      ['Deferred Removal Enabled', 'true'],
      ['Deferred Deletion Enabled', 'true'],
      ['Deferred Deleted Device Count', '3'],
    ]);
    expect(facts).toMatchObject({
      loopback: false,
      deferredRemoval: true,
      deferredDeletion: true,
      devicesToDelete: 3,
      data: { usedBytes: 1_610_612_736, totalBytes: 2_147_483_648 },
      metadata: { usedBytes: undefined, totalBytes: undefined },
    });
  });
});

describe('judgeStorage', () => {
  const roomy: StorageFacts = {
    driver: 'overlay2',
    devicemapper: undefined,
    fileSystem: { freeBytes: 5e9, totalBytes: 5e10, freeInodes: 1e6, totalInodes: 2e6 },
  };

  const withPool = (changes: Record<string, string>): StorageFacts => ({
    ...roomy,
    driver: 'devicemapper',
    devicemapper: parseDevicemapper(incident.map(([name, value]) => [name, changes[name] ?? value])),
  });

  it('lets a host work that has room, or of which nothing is known', () => {
    expect(judgeStorage(roomy, defaultLimits)).toEqual({ kind: 'ok' });
    expect(judgeStorage(withPool({}), defaultLimits)).toEqual({ kind: 'ok' });
    expect(
      judgeStorage({ driver: 'zfs', devicemapper: undefined, fileSystem: undefined }, defaultLimits),
    ).toEqual({ kind: 'ok' });
  });

  it('names bytes and inodes that are short', () => {
    const fileSystem = { freeBytes: 150_000_000, totalBytes: 5e10, freeInodes: 12, totalInodes: 65_536 };
    expect(judgeStorage({ ...roomy, fileSystem }, defaultLimits)).toMatchObject({
      kind: 'low',
      shortages: [
        "150 MB free of 50 GB on the Docker root's file system",
        "12 inodes free of 65536 on the Docker root's file system",
      ],
    });
  });

  it('names metadata that is short, and what to do on loopback', () => {
    expect(judgeStorage(withPool({ 'Metadata Space Used': '71.2 MB' }), defaultLimits)).toEqual({
      kind: 'low',
      shortages: ["94 % of the devicemapper pool's metadata space used (71.2 MB of 75.5 MB, limit 90 %)"],
      advice: expect.stringMatching(/^remove leaked helpers .*cleanup.*loopback/) as string,
      isReadOnly: false,
    });
  });

  it('says of metadata that is full: extend first, restart the agent, then clean up', () => {
    const pool = parseDevicemapper([
      ['Metadata Space Used', '8.389 MB'],
      ['Metadata Space Total', '8.389 MB'],
    ]);
    const full = judgeStorage({ ...roomy, driver: 'devicemapper', devicemapper: pool }, defaultLimits);
    expect(full).toMatchObject({ kind: 'low', isReadOnly: true });
    const advice = full.kind === 'low' ? full.advice : '';
    expect(advice).toMatch(/^the pool is read-only.*lvextend.*docker restart rancher-agent.*cleanup\)$/);
    expect(advice).not.toMatch(/deferred|unused images/);
  });

  it('names data that is short', () => {
    expect(judgeStorage(withPool({ 'Data Space Used': '107 GB' }), defaultLimits)).toMatchObject({
      kind: 'low',
      shortages: [expect.stringContaining('data space used') as string],
    });
  });
});

describe('readStorage', () => {
  it.runIf(isRoot)("looks through the host's root, also behind a link", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'host-storage-'));
    try {
      const root = join(folder, '1/root');
      await mkdir(join(root, 'data'), { recursive: true });
      await mkdir(join(root, 'var/lib'), { recursive: true });
      await symlink('/data', join(root, 'var/lib/docker'));
      const info = { driver: 'overlay2', driverStatus: [], dockerRoot: '/var/lib/docker' };
      const paths = pathsBelow('/none', folder);
      const small = await onSmallDisk(join(root, 'data'), () => readStorage(paths, info, defaultLimits));
      expect(small.fileSystem).toMatchObject({ totalBytes: 65_536 });
      const few = await onFewInodes(join(root, 'data'), () => readStorage(paths, info, defaultLimits));
      expect(few.fileSystem).toMatchObject({ totalInodes: 8, freeInodes: 7 });
      const gone = await readStorage(paths, { ...info, dockerRoot: '/gone' }, defaultLimits);
      expect(gone.fileSystem).toBeUndefined();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
