import { access } from 'node:fs/promises';
import { findDaemonsApart } from './daemons.ts';
import { runChecked, runOnHost, seesHostMounts, tryOrWarn, type HostCommands } from './namespace.ts';
import { findMount, requireMounts, type Mount } from './table.ts';

/** Folders of the host: mounts that a container creates below them must be visible to other containers (contract §5). */
export const sharedFolders: readonly string[] = ['/var/lib/rancher/volumes', '/var/lib/kubelet'];

/** Where the agent container has the host's `/dev` (contract §4). */
const hostDev = '/host/dev';

/**
 * Prepares the mounts as `run` needs them (contract §5): the host's `/dev` over our own, and two folders of the host as shared
 * mounts, also where a daemon with mounts of its own looks. Existing mounts are not repeated: a hundred restarts stack no mounts. A failure is logged and the agent continues
 * without the mount, as the legacy entrypoint did.
 */
export async function prepareMounts(host: HostCommands): Promise<void> {
  await tryOrWarn(host, 'showing the devices of the host', () => bindHostDevices(host));
  if (!(await seesHostMounts(host.paths))) {
    host.log.debug("shared mounts left out: the host's processes cannot be seen from here");
    return;
  }
  for (const folder of sharedFolders) {
    await tryOrWarn(host, `making ${folder} a shared mount`, () => shareFolder(host, folder, 1));
  }
  await tryOrWarn(host, 'making shared mounts for a daemon with mounts of its own', async () => {
    // Not before: what the host has just mounted is there already, as a slave.
    for (const pid of await findDaemonsApart(host.paths, host.limits.HOLDERS_PROCESSES)) {
      for (const folder of sharedFolders) await shareFolder(host, folder, pid);
    }
  });
}

/** The command that shows the host's devices under `/dev`, or undefined if they are there already. */
export function planDeviceBind(mounts: readonly Mount[]): readonly string[] | undefined {
  const wanted = findMount(mounts, hostDev);
  const present = findMount(mounts, '/dev');
  const done = wanted !== undefined && present?.device === wanted.device && present.root === wanted.root;
  return done ? undefined : ['mount', '--rbind', hostDev, '/dev'];
}

/**
 * The commands that make `folder` a shared mount, from the mounts as they are: none, one or two.
 * @param folder without symbolic links, as mountinfo names it; it exists
 */
export function planSharedMount(mounts: readonly Mount[], folder: string): readonly (readonly string[])[] {
  const present = findMount(mounts, folder);
  const makeShared = ['mount', '--make-shared', folder];
  if (present === undefined) return [['mount', '--bind', folder, folder], makeShared];
  return present.shared ? [] : [makeShared];
}

async function bindHostDevices(host: HostCommands): Promise<void> {
  const there = await access(hostDev).then(
    () => true,
    () => false,
  );
  if (!there) return;
  const mounts = await requireMounts(`${host.paths.proc}/self/mountinfo`, ({ mountPoint }) =>
    [hostDev, '/dev'].includes(mountPoint),
  );
  const command = planDeviceBind(mounts);
  const [file, ...args] = command ?? [];
  if (file !== undefined) await runChecked(host, file, args);
}

/** @param pid of a process that has the mounts: the host's init, or a daemon */
async function shareFolder(host: HostCommands, folder: string, pid: number): Promise<void> {
  await runOnHost(host, ['mkdir', '-p', folder], pid);
  // Only the resolved path is in mountinfo; with the unresolved one, every start would stack one more mount.
  const resolved = (await runOnHost(host, ['readlink', '-f', folder], pid)).stdout.trim();
  const mounts = await requireMounts(
    `${host.paths.proc}/${pid}/mountinfo`,
    ({ mountPoint }) => mountPoint === resolved,
  );
  for (const command of planSharedMount(mounts, resolved)) await runOnHost(host, command, pid);
}
