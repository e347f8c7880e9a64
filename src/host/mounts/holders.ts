import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../support/clock.ts';
import type { Paths } from '../../support/configuration.ts';
import { deadlineIn } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { readKernelText } from '../files/read.ts';
import { selectMounts, type Mount } from './table.ts';
import { findContainerInCgroup, findContainerInMount } from '../own-container.ts';

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
  /** How many mounts it holds. */
  readonly mounts: number;
  /** The first HOLDERS_MOUNTS of them. */
  readonly mountPoints: readonly string[];
}

export interface HolderSearch {
  readonly holders: readonly MountHolder[];
  /** False if the limit of time, of processes or of mounts was reached first. */
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
 * exit meanwhile or cannot be read are skipped, and so are mounts that hold nothing (see `letsGo`).
 */
export async function findMountHolders({ ids, ...options }: HolderOptions): Promise<HolderSearch> {
  return searchMounts(options, (mount) => isMountOf(mount, ids));
}

/**
 * Searches the mounts of all processes, once per mount namespace.
 * @param counts whether a mount counts; a namespace without any holds nothing
 */
export async function searchMounts(
  options: SearchOptions,
  counts: (mount: Mount) => boolean,
): Promise<HolderSearch> {
  const { paths, limits, clock } = options;
  const deadline = deadlineIn(limits.HOLDERS_TOTAL, clock);
  const pids = await readPids(paths.proc);
  const except =
    options.exceptPid === undefined ? undefined : await namespaceOf(paths.proc, options.exceptPid);
  const hostNamespace = await namespaceOf(paths.proc, 1);
  const seen = new Map<string, MountHolder | undefined>();
  let looked = 0;
  let complete = true;
  for (const pid of pids) {
    const isSpent = looked++ >= limits.HOLDERS_PROCESSES || seen.size >= limits.HOLDERS_NAMESPACES;
    if (isSpent || deadline.left() === 0) return { holders: holdersOf(seen), complete: false };
    const namespace = await namespaceOf(paths.proc, pid);
    if (namespace === undefined || namespace === except) continue;
    if (seen.has(namespace)) {
      const holder = seen.get(namespace);
      if (holder !== undefined) seen.set(namespace, { ...holder, processes: holder.processes + 1 });
      continue;
    }
    const look = await lookAt({ paths, limits }, pid, namespace === hostNamespace, counts);
    // It exited meanwhile: another process of the same namespace may still show the mounts.
    if (look === undefined) continue;
    seen.set(namespace, look.holder);
    complete &&= look.isWhole;
  }
  return { holders: holdersOf(seen), complete };
}

/** Whether a mount belongs to one of the ids. */
export function isMountOf({ mountPoint, root, source }: Mount, ids: readonly string[]): boolean {
  return ids.some((id) => id !== '' && [mountPoint, root, source].some((text) => text.includes(id)));
}

/** The engine mounts what belongs to a container at a place that has an id in its path. */
const enginePlace = /\/[0-9a-f]{64}(?:-init)?(?:\/|$)/;

/**
 * Whether the engine's unmount reaches this mount too, so that it keeps nothing busy: a slave mount at the engine's own place
 * (engine-notes §3), perhaps below the folder that a container has the host at. A bind to another place stays.
 */
function letsGo({ slave, mountPoint }: Mount): boolean {
  return slave && enginePlace.test(mountPoint);
}

/**
 * A container that binds the host sees its own root once more, at the engine's place; Docker 26 makes that copy private. Its process
 * uses that root anyway, so the copy keeps nothing more busy.
 */
function isSameTree(mount: Mount, root: Mount | undefined): boolean {
  return root !== undefined && mount.device === root.device && mount.root === root.root;
}

/** What one process shows of its mount namespace; undefined if it cannot be read. */
interface Look {
  readonly holder: MountHolder | undefined;
  readonly isWhole: boolean;
}

async function lookAt(
  { paths, limits }: Pick<SearchOptions, 'paths' | 'limits'>,
  pid: number,
  hostNamespace: boolean,
  counts: (mount: Mount) => boolean,
): Promise<Look | undefined> {
  const mountPoints: string[] = [];
  let mounts = 0;
  let mountedFor: string | undefined;
  let ownRoot: Mount | undefined;
  const isWhole = await readTable(join(paths.proc, String(pid), 'mountinfo'), (mount) => {
    mountedFor ??= findContainerInMount(mount);
    if (mount.mountPoint === '/') ownRoot = mount;
    else if (isSameTree(mount, ownRoot)) return;
    if (letsGo(mount) || !counts(mount)) return;
    mounts += 1;
    if (mounts <= limits.HOLDERS_MOUNTS) mountPoints.push(mount.mountPoint);
  });
  if (isWhole === undefined) return undefined;
  if (mounts === 0) return { holder: undefined, isWhole };
  const command = (await readQuietly(join(paths.proc, String(pid), 'comm')))?.trim() ?? '?';
  const cgroup = (await readQuietly(join(paths.proc, String(pid), 'cgroup'))) ?? '';
  const container = findContainerInCgroup(cgroup) ?? mountedFor;
  return { holder: { pid, command, processes: 1, container, hostNamespace, mounts, mountPoints }, isWhole };
}

/** @returns whether the whole table was read; undefined if it cannot be */
async function readTable(path: string, see: (mount: Mount) => void): Promise<boolean | undefined> {
  try {
    const { isWhole } = await selectMounts(path, (mount) => {
      see(mount);
      return false;
    });
    return isWhole;
  } catch {
    return undefined;
  }
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
