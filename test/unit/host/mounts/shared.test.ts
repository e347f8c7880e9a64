import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { HostCommands } from '../../../../src/host/mounts/namespace.ts';
import { findMount, parseMountinfo, type Mount } from '../../../../src/host/mounts/table.ts';
import { planDeviceBind, planSharedMount, prepareMounts } from '../../../../src/host/mounts/shared.ts';
import { prepareOnStandby } from '../../../../src/host/preparation.ts';
import { runCommand, type CommandRunner } from '../../../../src/host/processes.ts';
import { systemClock } from '../../../../src/support/clock.ts';
import { pathsBelow } from '../../../../src/support/configuration.ts';
import { defaultLimits } from '../../../../src/support/limits/limits.ts';
import { silentLog } from '../../../../src/support/log.ts';
import { isRoot } from '../files/small-disk.ts';

const folder = '/var/lib/kubelet';
const line = (mountPoint: string, options = '', device = '8:1', root = '/'): string =>
  `30 20 ${device} ${root} ${mountPoint} rw ${options}${options === '' ? '' : ' '}- ext4 /dev/sda1 rw`;
const mountsOf = (...lines: string[]): Mount[] => parseMountinfo(lines.join('\n'));

describe('planSharedMount', () => {
  const bind = ['mount', '--bind', folder, folder];
  const share = ['mount', '--make-shared', folder];
  it.each([
    ['no mount yet', mountsOf(line('/', 'shared:1')), [bind, share]],
    ['a private mount', mountsOf(line(folder)), [share]],
    ['a slave mount', mountsOf(line(folder, 'master:1')), [share]],
    ['a shared mount', mountsOf(line(folder, 'shared:1')), []],
    ['a private one over a shared one', mountsOf(line(folder, 'shared:1'), line(folder)), [share]],
    ['a mount below it only', mountsOf(line(`${folder}/pods`, 'shared:1')), [bind, share]],
  ])('%s', (_case, mounts, commands) => {
    expect(planSharedMount(mounts, folder)).toEqual(commands);
  });
});

describe('planDeviceBind', () => {
  const bind = ['mount', '--rbind', '/host/dev', '/dev'];
  it.each([
    ['our own /dev', mountsOf(line('/dev', '', '0:50'), line('/host/dev', '', '0:6')), bind],
    ['no mount at all', mountsOf(), bind],
    ["the host's /dev", mountsOf(line('/host/dev', '', '0:6'), line('/dev', '', '0:6')), undefined],
  ])('%s', (_case, mounts, command) => {
    expect(planDeviceBind(mounts)).toEqual(command);
  });
});

/** A host of its own: a mount namespace with an empty /var/lib, and a /proc whose process 1 lives in it. */
describe.runIf(isRoot)('prepareMounts on a host', () => {
  let init: ChildProcess;
  let proc: string;

  beforeEach(async () => {
    const setUp =
      'mount -t tmpfs none /var/lib && mkdir -p /var/lib/data && ln -s /var/lib/data /var/lib/rancher && echo ready && exec sleep 1000';
    init = spawn('unshare', ['-m', '--propagation', 'private', 'sh', '-c', setUp], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(init.stdout ?? init, 'data');
    proc = await mkdtemp(join(tmpdir(), 'host-proc-'));
    await symlink(`/proc/${init.pid ?? 0}`, join(proc, '1'));
    await symlink(`/proc/${process.pid}`, join(proc, 'self'));
  });

  afterEach(async () => {
    init.kill('SIGKILL');
    await rm(proc, { recursive: true, force: true });
  });

  const host = (): HostCommands => ({
    paths: pathsBelow('/var/lib/rancher', proc),
    limits: defaultLimits,
    log: silentLog,
    run: runCommand,
  });

  /** Those of the machine itself go when somebody removes their mount points. */
  const hostMounts = async (): Promise<Mount[]> =>
    parseMountinfo(await readFile(join(proc, '1/mountinfo'), 'utf8')).filter(({ mountPoint }) =>
      mountPoint.startsWith('/var/lib/'),
    );

  it('makes the folders shared mounts, once, also behind a link and after many restarts', async () => {
    const before = (await hostMounts()).length;
    for (let restart = 0; restart < 10; restart += 1) await prepareMounts(host());
    const after = await hostMounts();
    expect(findMount(after, '/var/lib/data/volumes')?.shared).toBe(true);
    expect(findMount(after, '/var/lib/kubelet')?.shared).toBe(true);
    expect(after.length).toBe(before + 2);
  });

  /** Both look before either mounts: what a lock is for. No module of this machine's kernel is touched. */
  const slowly: CommandRunner = async (file, args, options) => {
    if (args.includes('modprobe')) return { status: 0, stdout: '', stderr: '' };
    if (args.includes('mount')) await new Promise((resolve) => setTimeout(resolve, 100));
    return runCommand(file, args, options);
  };

  it('two agents that start together stack no mount', async () => {
    const entrypoint = await mkdtemp(join(tmpdir(), 'entrypoint-'));
    const agent = async (): Promise<void> => {
      const own = { ...host(), paths: { ...host().paths, entrypoint }, run: slowly };
      await prepareOnStandby(own, { container: undefined, clock: systemClock });
    };
    const before = (await hostMounts()).length;
    await Promise.all([agent(), agent()]);
    const after = await hostMounts();
    expect(after.length).toBe(before + 2);
    expect(findMount(after, '/var/lib/kubelet')?.shared).toBe(true);
    // Not the worker's lock, which a worker holds while it waits for an agent on standby.
    expect(await readdir(entrypoint)).toEqual(['mounts']);
    await rm(entrypoint, { recursive: true, force: true });
  });

  it('without the lock they would: the test above can fail', async () => {
    const before = (await hostMounts()).length;
    await Promise.all([0, 1].map(async () => prepareMounts({ ...host(), run: slowly })));
    expect((await hostMounts()).length).toBeGreaterThan(before + 2);
  });
});
