import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../support/clock.ts';
import type { Paths } from '../../support/configuration.ts';
import { deadlineIn } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { readKernelText } from '../files/files.ts';
import { parseMountinfo } from './table.ts';
import { findContainerInCgroup, findContainerInMountinfo } from '../own-container.ts';

/** A mount namespace in which a container's mounts are still there, and so cannot be removed ("busy"). */
export interface MountHolder {
  /** The lowest process id in that namespace. */
  readonly pid: number;
  /** Its command, e.g. `python`. */
  readonly command: string;
  /** How many processes share the namespace. */
  readonly processes: number;
  /** The container the process belongs to, if any. */
  readonly container: string | undefined;
  /** The namespace of the host's init, where the engine itself has the mounts of running containers. */
  readonly hostNamespace: boolean;
  readonly mountPoints: readonly string[];
}

export interface HolderSearch {
  readonly holders: readonly MountHolder[];
  /** False if the limit of time or of processes was reached first. */
  readonly complete: boolean;
}

export interface HolderOptions extends SearchOptions {
  /** Texts to look for in mounts: the container's id and, where known, the id of its layer. */
  readonly ids: readonly string[];
}

export interface SearchOptions {
  readonly paths: Paths;
  /** HOLDERS_TOTAL and HOLDERS_PROCESSES count here. */
  readonly limits: Limits;
  readonly clock: Clock;
  /** Left out together with all who share its mount namespace, e.g. ourselves. */
  readonly exceptPid?: number;
}

/**
 * Finds who holds a container's mounts, in the mounts of all processes. Each mount namespace is read once; processes that
 * exit meanwhile or cannot be read are skipped.
 */
export async function findMountHolders({ ids, ...options }: HolderOptions): Promise<HolderSearch> {
  return searchMounts(options, (mountinfo) => findMountsOf(mountinfo, ids));
}

/**
 * Searches the mounts of all processes, once per mount namespace.
 * @param pick the mount points of a mountinfo text that count; a namespace without any holds nothing
 */
export async function searchMounts(
  options: SearchOptions,
  pick: (mountinfo: string) => readonly string[],
): Promise<HolderSearch> {
  const { paths, limits, clock } = options;
  const deadline = deadlineIn(limits.HOLDERS_TOTAL, clock);
  const pids = await readPids(paths.proc);
  const except =
    options.exceptPid === undefined ? undefined : await namespaceOf(paths.proc, options.exceptPid);
  const hostNamespace = await namespaceOf(paths.proc, 1);
  const seen = new Map<string, MountHolder | undefined>();
  let looked = 0;
  for (const pid of pids) {
    if (looked++ >= limits.HOLDERS_PROCESSES || deadline.left() === 0)
      return { holders: holdersOf(seen), complete: false };
    const namespace = await namespaceOf(paths.proc, pid);
    if (namespace === undefined || namespace === except) continue;
    if (seen.has(namespace)) {
      const holder = seen.get(namespace);
      if (holder !== undefined) seen.set(namespace, { ...holder, processes: holder.processes + 1 });
      continue;
    }
    const look = await lookAt(paths, pid, namespace === hostNamespace, pick);
    // It exited meanwhile: another process of the same namespace may still show the mounts.
    if (look !== 'unreadable') seen.set(namespace, look);
  }
  return { holders: holdersOf(seen), complete: true };
}

/** The mount points in a mountinfo text that belong to one of the ids. */
export function findMountsOf(mountinfo: string, ids: readonly string[]): readonly string[] {
  const wanted = ids.filter((id) => id !== '');
  // A cheap check first: most processes have no such mounts, and some have thousands of others.
  if (!wanted.some((id) => mountinfo.includes(id))) return [];
  return parseMountinfo(mountinfo)
    .filter((mount) =>
      wanted.some((id) => [mount.mountPoint, mount.root, mount.source].some((text) => text.includes(id))),
    )
    .map((mount) => mount.mountPoint);
}

async function lookAt(
  paths: Paths,
  pid: number,
  hostNamespace: boolean,
  pick: (mountinfo: string) => readonly string[],
): Promise<MountHolder | undefined | 'unreadable'> {
  const mountinfo = await readQuietly(join(paths.proc, String(pid), 'mountinfo'));
  if (mountinfo === undefined) return 'unreadable';
  const mountPoints = pick(mountinfo);
  if (mountPoints.length === 0) return undefined;
  const command = (await readQuietly(join(paths.proc, String(pid), 'comm')))?.trim() ?? '?';
  const cgroup = (await readQuietly(join(paths.proc, String(pid), 'cgroup'))) ?? '';
  const container = findContainerInCgroup(cgroup) ?? findContainerInMountinfo(mountinfo);
  return { pid, command, processes: 1, container, hostNamespace, mountPoints };
}

function holdersOf(seen: ReadonlyMap<string, MountHolder | undefined>): MountHolder[] {
  return [...seen.values()].filter((holder) => holder !== undefined);
}

async function readPids(proc: string): Promise<number[]> {
  const names = await readdir(proc);
  return names
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);
}

async function namespaceOf(proc: string, pid: number): Promise<string | undefined> {
  try {
    return await readlink(join(proc, String(pid), 'ns/mnt'));
  } catch {
    return undefined;
  }
}

async function readQuietly(path: string): Promise<string | undefined> {
  try {
    return await readKernelText(path);
  } catch {
    return undefined;
  }
}
