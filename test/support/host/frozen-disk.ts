/**
 * A folder of a test host on a disk that is frozen: a process that writes waits in the kernel, where no signal reaches
 * it, as on a disk or an NFS server that is gone.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { enterHost } from './host-namespaces.ts';
import type { TestHost } from './test-host.ts';

const run = promisify(execFile);

export interface FrozenDisk {
  readonly freeze: () => Promise<void>;
  /** Everything that waited continues. */
  readonly thaw: () => Promise<void>;
  /** The folder is as it was before. */
  readonly unmount: () => Promise<void>;
}

/** Puts the folder, with what is in it, onto such a disk. @param path as the host sees it */
export async function mountFrozenDisk(host: TestHost, path: string): Promise<FrozenDisk> {
  const inHost = async (script: string): Promise<unknown> =>
    run('nsenter', [...enterHost(host.initPid), 'sh', '-euc', script, 'sh', path]);
  await inHost(`
    disk=$(mktemp /tmp/disk-XXXXXX)
    truncate --size 32M "$disk"
    mkfs.ext4 -q -F "$disk"
    mkdir -p "$1" "$disk.mount"
    mount -o loop "$disk" "$disk.mount"
    cp -a "$1/." "$disk.mount"
    mount --move "$disk.mount" "$1" 2>/dev/null || { mount --bind "$disk.mount" "$1"; umount "$disk.mount"; }
    rmdir "$disk.mount"
    rm "$disk"`);
  let isFrozen = false;
  const thaw = async (): Promise<void> => {
    if (isFrozen) await inHost('fsfreeze --unfreeze "$1"');
    isFrozen = false;
  };
  return {
    async freeze() {
      await inHost('fsfreeze --freeze "$1"');
      isFrozen = true;
    },
    thaw,
    async unmount() {
      await thaw();
      await inHost('umount --lazy "$1"');
    },
  };
}
