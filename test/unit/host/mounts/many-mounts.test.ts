import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseMountinfo, requireMounts, selectMounts } from '../../../../src/host/mounts/table.ts';
import { fixedLimits } from '../../../../src/support/limits/fixed.ts';
import { isRoot } from '../files/small-disk.ts';

const run = promisify(execFile);
const layer = '1a7e'.repeat(16);
const line = (mountPoint: string): string =>
  `36 35 98:0 / ${mountPoint} rw,noatime shared:1 - ext4 /dev/sda rw`;

describe('a mount table', () => {
  let path: string;
  beforeEach(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'mounts-')), 'mountinfo');
  });
  afterEach(async () => rm(join(path, '..'), { recursive: true, force: true }));

  it('is read line by line as it is read at once, wherever its pieces are cut', async () => {
    const points = Array.from({ length: 5_000 }, (_, index) => `/é\\040${'ü'.repeat(index % 97)}/${index}`);
    const text = points.map(line).join('\n').concat('\n');
    expect(text.length).toBeGreaterThan(3 * fixedLimits.MOUNT_READ);
    await writeFile(path, text);
    expect(await selectMounts(path, () => true)).toEqual({ mounts: parseMountinfo(text), isWhole: true });
    const [last] = await requireMounts(path, ({ mountPoint }) => mountPoint.endsWith('/4999'));
    expect(last).toMatchObject({ mountPoint: `/é ${'ü'.repeat(4_999 % 97)}/4999`, shared: true });
  });

  it('of any size takes a limited time: what was read of it counts, and it is not whole', async () => {
    const filler = `${line(`/${'x'.repeat(4_000)}`)}\n`.repeat(10_000);
    await writeFile(path, `${line('/first')}\n${filler}${line('/last')}\n`);
    expect((await stat(path)).size).toBeGreaterThan(fixedLimits.MOUNT_TABLE);
    const isShort = ({ mountPoint }: { readonly mountPoint: string }): boolean => mountPoint.length < 10;
    const { mounts, isWhole } = await selectMounts(path, isShort);
    expect([mounts.map(({ mountPoint }) => mountPoint), isWhole]).toEqual([['/first'], false]);
    await expect(requireMounts(path, isShort)).rejects.toThrow('too many mounts');
  });

  it('with a line that never ends is not read any further', async () => {
    await writeFile(path, `${line('/first')}\n${'x'.repeat(200_000)}\n${line('/last')}\n`);
    expect(await selectMounts(path, () => true)).toMatchObject({ mounts: [{}], isWhole: false });
  });

  it('that cannot be read is an error', async () => {
    await expect(selectMounts(path, () => true)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

/**
 * 32,768 mounts on paths of 3,500 characters, made by an unprivileged user in a second: each bind of the whole tree doubles
 * them. They look like the mounts of a container.
 */
const makeMounts = `
set -e
cd "$1"; mount -t tmpfs none .; cd "$1"
long=$(printf 'x%.0s' $(seq 1 250))
for level in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do mkdir $long; cd $long; done
mkdir -p overlay2/${layer}/merged; mount -t tmpfs none .; cd "$PWD"
mkdir -p overlay2/${layer}/merged
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do mkdir t$round; done
mount -t tmpfs none overlay2/${layer}/merged
for round in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do mount --rbind . t$round; done
echo ready
exec sleep 1000
`;

/** As the launcher starts the doctor and the worker. */
const flags = ['--max-old-space-size=128', '--min-semi-space-size=2', '--max-semi-space-size=2'];

const search = (kind: string): string => `
import { findMountHolders } from './src/host/mounts/holders.ts';
import { findOtherHolders } from './src/host/mounts/of-containers.ts';
import { pathsBelow } from './src/support/configuration.ts';
import { systemClock as clock } from './src/support/clock.ts';
import { defaultLimits as limits } from './src/support/limits/limits.ts';
const options = { paths: pathsBelow('/none'), limits, clock, ids: ['${layer}'] };
const found = await (${kind})(options);
console.log(JSON.stringify({ found, maxRss: process.resourceUsage().maxRSS }));
`;

/** Where the kernel allows user namespaces. */
const canUnshare =
  isRoot &&
  (await run('setpriv', ['--reuid=65534', 'unshare', '-Urm', 'true']).then(
    () => true,
    () => false,
  ));

describe.runIf(canUnshare)('an unprivileged user with 32,000 mounts on long paths', () => {
  let folder: string;
  let tenant: ChildProcess;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tenant-'));
    await run('chown', ['65534', folder]);
    const unshare = ['--reuid=65534', '--regid=65534', '--clear-groups', 'unshare', '-Urm'];
    tenant = spawn('setpriv', [...unshare, 'sh', '-c', makeMounts, 'sh', folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(tenant.stdout ?? tenant, 'data')) as [Buffer];
    expect(said.toString()).toBe('ready\n');
  }, 60_000);
  afterEach(async () => {
    tenant.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  it.each(['findMountHolders', 'findOtherHolders'])(
    'costs %s little memory: the process is named, and the search says that it is not complete',
    async (kind) => {
      const { stdout } = await run(
        process.execPath,
        [...flags, '--input-type=module-typescript', '-e', search(kind)],
        {
          cwd: join(import.meta.dirname, '../../../..'),
        },
      );
      const { found, maxRss } = JSON.parse(stdout) as {
        found: { complete: boolean; holders: { pid: number; mounts: number; mountPoints: string[] }[] };
        maxRss: number;
      };
      expect(found.complete).toBe(false);
      const holder = found.holders.find(({ pid }) => pid === tenant.pid);
      expect(holder?.mounts).toBeGreaterThan(100);
      expect(holder?.mountPoints).toHaveLength(3);
      expect(maxRss).toBeLessThan(250_000);
    },
    60_000,
  );
});
