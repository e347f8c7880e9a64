import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../../support/configuration.ts';
import { readKernelText } from '../files/read.ts';
import { findContainerInCgroup } from '../own-container.ts';

/** Red Hat's programs end with `-current`. */
const daemonName = /^dockerd(-current)?$/;
/** The daemon of Docker 1.10 and 1.11 is `docker daemon`; any other `docker` is somebody's command. */
const programName = /^docker(-current)?$/;

/**
 * The Docker daemons of this host that have mounts of their own (`MountFlags=slave` in the service file, snap): a mount that is
 * shared for the host is only a slave there, so the daemon refuses to share it (engine-notes §9). A daemon in a container is
 * left out. The caller must see the processes of the host.
 * @param mostProcesses so many are looked at
 * @returns process ids
 */
export async function findDaemonsApart(
  { proc }: Pick<Paths, 'proc'>,
  mostProcesses: number,
): Promise<readonly number[]> {
  const names = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
  const pids = names
    .map(Number)
    .sort((a, b) => a - b)
    .slice(0, mostProcesses);
  const host = await placeOf(proc, '1');
  const found: number[] = [];
  for (const pid of pids) {
    if (await isDaemonApart(proc, pid, host)) found.push(pid);
  }
  return found;
}

/** Where a process lives. */
interface Place {
  readonly mounts: string;
  readonly processes: string;
  /** The innermost one that its control groups name. */
  readonly container: string | undefined;
}

/** What exits meanwhile, or cannot be read, is none. */
async function isDaemonApart(proc: string, pid: number, host: Place): Promise<boolean> {
  const folder = join(proc, String(pid));
  try {
    const name = (await readKernelText(join(folder, 'comm'))).trim();
    if (!daemonName.test(name) && !programName.test(name)) return false;
    if (programName.test(name) && !isDaemonCommand(await readKernelText(join(folder, 'cmdline'))))
      return false;
    const own = await placeOf(proc, String(pid));
    const isOnHost = own.processes === host.processes && own.container === host.container;
    return isOnHost && own.mounts !== host.mounts;
  } catch {
    return false;
  }
}

async function placeOf(proc: string, pid: string): Promise<Place> {
  const folder = join(proc, pid);
  const [mounts, processes, cgroup] = await Promise.all([
    readlink(join(folder, 'ns/mnt')),
    readlink(join(folder, 'ns/pid')),
    readKernelText(join(folder, 'cgroup')),
  ]);
  return { mounts, processes, container: findContainerInCgroup(cgroup) };
}

/** @param commandLine as the kernel has it, with a NUL after each word */
function isDaemonCommand(commandLine: string): boolean {
  const [, ...words] = commandLine.split('\0');
  return words.find((word) => !word.startsWith('-')) === 'daemon';
}
