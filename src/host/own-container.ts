import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../support/configuration.ts';
import { readKernelText } from './files/read.ts';
import { parseMountinfo, type Mount } from './mounts/table.ts';

/** Files that Docker creates per container and mounts into it. */
const engineFiles = new Set(['/etc/hostname', '/etc/hosts', '/etc/resolv.conf']);

/** What the kernel shows of the container that this process runs in. Each part is empty or undefined where it shows none. */
export interface OwnTraces {
  /** The id in our cgroup: always our own. A private cgroup namespace (the default with cgroup v2) hides it. */
  readonly cgroup: string | undefined;
  /**
   * Ids in the mount of our root file system: always our own. What the engine calls them depends on its storage driver;
   * containerd's image store does not call them anything.
   */
  readonly layers: readonly string[];
  /** The id in the sources of the mounted `/etc/hosts` and the like. With `--network container:NAME` it is the other container's. */
  readonly files: string | undefined;
  /** A host name that looks like a short id. Anybody may give any name. */
  readonly hostname: string | undefined;
  /** Our mount namespace, if we see the processes of the host. A container's first process has the same. */
  readonly mountNamespace: string | undefined;
}

/** Reads the traces; what cannot be read is left out. */
export async function readOwnTraces(paths: Paths, hostname: string): Promise<OwnTraces> {
  const [cgroup, mountinfo, mountNamespace] = await Promise.all([
    readIfPossible(join(paths.proc, 'self/cgroup')),
    readIfPossible(join(paths.proc, 'self/mountinfo')),
    readOwnNamespace(paths),
  ]);
  return {
    cgroup: findContainerInCgroup(cgroup),
    layers: findRootLayers(mountinfo),
    files: findContainerInMountinfo(mountinfo),
    hostname: findContainerInHostname(hostname),
    mountNamespace,
  };
}

/** Ids (64 hex digits, the last one perhaps 12) that may be our own container's, the surest first. */
export function candidatesOf({ cgroup, files, hostname }: OwnTraces): readonly string[] {
  const known = new Set([cgroup, files, hostname].filter((id) => id !== undefined));
  return [...known].filter((id) => ![...known].some((other) => other !== id && other.startsWith(id)));
}

/** Whether the process with that pid, of the host's, is in a mount namespace. False where that cannot be read. */
export async function isInNamespace(paths: Paths, pid: number, mountNamespace: string): Promise<boolean> {
  return (await readNamespace(paths, String(pid))) === mountNamespace;
}

/** The id in the source of `/etc/hostname`, `/etc/hosts` or `/etc/resolv.conf`: `…/containers/<id>/hostname`. */
export function findContainerInMountinfo(text: string): string | undefined {
  for (const mount of parseMountinfo(text)) {
    const id = findContainerInMount(mount);
    if (id !== undefined) return id;
  }
  return undefined;
}

/** The same for one mount. */
export function findContainerInMount({ mountPoint, root }: Mount): string | undefined {
  if (!engineFiles.has(mountPoint)) return undefined;
  // The folder of all containers may be a file system, or a bind mount, of its own: the path then begins with the id.
  return /(?:^|\/)([0-9a-f]{64})\/(?:hostname|hosts|resolv\.conf)(?:\/\/deleted)?$/.exec(root)?.[1];
}

/**
 * The ids in the mount of `/`: in `upperdir=` (overlay), in the device (devicemapper), in the data set (zfs) or in the
 * folder (btrfs, vfs). Lower layers are the image's, which other containers share.
 */
export function findRootLayers(mountinfo: string): readonly string[] {
  // The other lines, of which there may be thousands, are not taken apart.
  const fields = (mountinfo.match(/^\d+ \d+ \S+ \S+ \/ .*$/gm)?.at(-1) ?? '').split(' ');
  const separator = fields.indexOf('-', 6);
  const options = (fields[separator + 3] ?? '').split(',').filter((option) => option.startsWith('upperdir='));
  const texts = [fields[3], fields[separator + 2], ...options];
  return [...new Set(texts.flatMap((text) => text?.match(/[0-9a-f]{64}/g) ?? []))];
}

/**
 * The id in a cgroup file: `/docker/<id>` (cgroupfs), `docker-<id>.scope` (systemd), also below other groups. The last
 * one of a path counts: an engine inside a container nests its groups.
 */
export function findContainerInCgroup(text: string): string | undefined {
  for (const line of text.split('\n')) {
    const path = line.split(':').slice(2).join(':');
    const id = path.split('/').findLast((part) => cgroupPart.test(part));
    if (id !== undefined) return cgroupPart.exec(id)?.[1];
  }
  return undefined;
}

const cgroupPart = /^(?:docker-)?([0-9a-f]{64})(?:\.scope)?$/;

/** The short id that Docker gives as hostname; with `--network host` the name is the host's and means nothing. */
export function findContainerInHostname(hostname: string): string | undefined {
  return /^[0-9a-f]{12}$/.test(hostname) ? hostname : undefined;
}

/** Where process 1 has the same namespace, the pids that the engine names mean nothing here. */
async function readOwnNamespace(paths: Paths): Promise<string | undefined> {
  const [init, own] = await Promise.all([readNamespace(paths, '1'), readNamespace(paths, 'self')]);
  return init === undefined || init === own ? undefined : own;
}

async function readNamespace({ proc }: Paths, pid: string): Promise<string | undefined> {
  return await readlink(join(proc, pid, 'ns/mnt')).catch(() => undefined);
}

async function readIfPossible(path: string): Promise<string> {
  return await readKernelText(path).catch(() => '');
}
