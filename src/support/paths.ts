/** Folders of the host, as this process sees them. */
export interface Paths {
  /** `/var/lib/rancher` of the host. */
  readonly rancher: string;
  /** The registration key and other identity files (`CATTLE_STATE_DIR`). */
  readonly state: string;
  /** Lock, status and attempts of this entrypoint. */
  readonly entrypoint: string;
  /** Where the kernel shows processes; `/proc/1/root` is the host's root when we share its pid namespace. */
  readonly proc: string;
  /** Where the bootstrap script is written down; the first one that has room. */
  readonly staging: readonly string[];
}

/** As upstream, and in memory for when the disk has no free byte. */
const stagingFolders = ['/tmp', '/dev/shm'];

/** The folders below a given `/var/lib/rancher`. */
export function pathsBelow(rancher: string, proc = '/proc', staging = stagingFolders): Paths {
  return { rancher, state: `${rancher}/state`, entrypoint: `${rancher}/entrypoint`, proc, staging };
}
