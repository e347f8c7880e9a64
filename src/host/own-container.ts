import { join } from 'node:path';
import type { Paths } from '../support/configuration.ts';
import { readKernelText } from './files/files.ts';
import { parseMountinfo, type Mount } from './mounts/table.ts';

/** Files that Docker creates per container and mounts into it. */
const engineFiles = new Set(['/etc/hostname', '/etc/hosts', '/etc/resolv.conf']);

/**
 * Ids (64 hex digits, the last one perhaps 12) that may be our own container's, the surest first; the engine knows
 * which one exists. Empty outside a container.
 *
 * The cgroup comes first: it is always our own, whereas with `--network container:NAME` the mounted files are those of the
 * other container. In a private cgroup namespace (cgroup v2's default) the cgroup shows nothing, but the files do.
 */
export async function findOwnContainer(paths: Paths, hostname: string): Promise<readonly string[]> {
  const [cgroup, mountinfo] = await Promise.all([
    readIfPossible(join(paths.proc, 'self/cgroup')),
    readIfPossible(join(paths.proc, 'self/mountinfo')),
  ]);
  const ids = [
    findContainerInCgroup(cgroup),
    findContainerInMountinfo(mountinfo),
    findContainerInHostname(hostname),
  ];
  const known = new Set(ids.filter((id) => id !== undefined));
  return [...known].filter((id) => ![...known].some((other) => other !== id && other.startsWith(id)));
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
  return /\/containers\/([0-9a-f]{64})\/(?:hostname|hosts|resolv\.conf)(?:\/\/deleted)?$/.exec(root)?.[1];
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

async function readIfPossible(path: string): Promise<string> {
  return await readKernelText(path).catch(() => '');
}
