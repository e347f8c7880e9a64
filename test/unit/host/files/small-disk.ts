import { execFileSync } from 'node:child_process';

/** File systems with real faults, mounted on a folder for the time of one test; needs root. */
export const isRoot = process.getuid?.() === 0;

/** With a read-only file system mounted on `folder`. */
export async function onReadOnly<T>(folder: string, work: () => Promise<T>): Promise<T> {
  return onTmpfs(folder, 'ro', work);
}

/** With a file system of 64 kB mounted on `folder`. */
export async function onSmallDisk<T>(folder: string, work: () => Promise<T>): Promise<T> {
  return onTmpfs(folder, 'size=64k', work);
}

/** With a file system of 8 inodes mounted on `folder`. */
export async function onFewInodes<T>(folder: string, work: () => Promise<T>): Promise<T> {
  return onTmpfs(folder, 'nr_inodes=8', work);
}

async function onTmpfs<T>(folder: string, options: string, work: () => Promise<T>): Promise<T> {
  execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'none', folder]);
  try {
    return await work();
  } finally {
    execFileSync('umount', ['-l', folder]);
  }
}
