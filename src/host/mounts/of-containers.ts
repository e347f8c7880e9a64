import { join } from 'node:path';
import type { Paths } from '../../support/configuration.ts';
import { readKernelText } from '../files/read.ts';
import { searchMounts, type HolderSearch, type MountHolder, type SearchOptions } from './holders.ts';
import type { Mount } from './table.ts';

/**
 * How storage drivers name the mount of a container's layer, and where its shared memory is. A container sees its own as `/`
 * and `/dev/shm`; under these names it sees only others'.
 */
const containerMount =
  /\/(?:(?:overlay2?|btrfs\/subvolumes|zfs\/graph|vfs\/dir|aufs\/mnt|devicemapper\/mnt)\/[0-9a-f]{64}(?:-init)?(?:\/merged|\/rootfs)?|containers\/[0-9a-f]{64}\/(?:mounts\/)?shm)$/;

/**
 * The devices that Docker's devicemapper driver makes; a container's root is the folder `rootfs` of one. Its mount may be anywhere,
 * and its device is then still busy; a container sees its own at `/`.
 */
const containerDevice = /^\/dev\/mapper\/docker-.+-[0-9a-f]{64}(?:-init)?$/;

/** The engine and its helpers need the mounts of running containers, perhaps in a namespace of their own. */
const engineProcess =
  /^(dockerd|dockerd-current|docker|docker-current|docker-containe|containerd|containerd-shim.*)$/;

/** Whether a mount is one of a container, by its mount point, or by its device. */
export function isContainerMount({
  mountPoint,
  root,
  source,
}: Pick<Mount, 'mountPoint' | 'root' | 'source'>): boolean {
  if (containerMount.test(mountPoint)) return true;
  return mountPoint !== '/' && /^\/(?:rootfs)?$/.test(root) && containerDevice.test(source);
}

/** Who holds mounts of containers that are not its own: containers that bind the Docker root or a folder above it,
 * services with a mount namespace of their own (`PrivateTmp`). The host itself and the engine are left out. */
export async function findOtherHolders(options: SearchOptions): Promise<HolderSearch> {
  const { holders, complete } = await searchMounts(options, isContainerMount);
  return { holders: holders.filter(isOthers), complete };
}

/**
 * Whether the kernel lets a mount point be removed although another namespace has a mount there: since 3.18, and on
 * RHEL 7 (3.10) where `fs.may_detach_mounts` is on.
 * @param release as `uname -r` says
 */
export async function detachesMounts(paths: Paths, release: string): Promise<boolean> {
  const [major = 0, minor = 0] = release.split(/[.-]/).map(Number);
  if (major > 3 || (major === 3 && minor >= 18)) return true;
  const setting = await readKernelText(join(paths.proc, 'sys/fs/may_detach_mounts')).catch(() => '0');
  return setting.trim() === '1';
}

function isOthers({ hostNamespace, command, mounts }: MountHolder): boolean {
  return !hostNamespace && mounts > 0 && !engineProcess.test(command);
}
