import type { Stats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { withDeadline } from '../../support/deadline.ts';
import { systemCodeOf } from '../../support/errors.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import { HostFolderUnsafeError } from '../errors.ts';
import { readSmallFile, type ReadOptions } from './read.ts';

/*
 * The folders below /var/lib/rancher are root's, and root writes and reads there. If another user may write in one, or it is a link,
 * that user decides what root reads, or which file root replaces. Then we go on without the files in it, and say so.
 */

/**
 * @throws HostFolderUnsafeError for a link, for a file in the place of the folder, and for a folder in which others may write; ENOENT;
 * other system errors
 */
export async function requireSafeFolder(path: string): Promise<void> {
  const fault = findFault(await lstat(path));
  if (fault !== undefined) throw new HostFolderUnsafeError(path, fault);
}

/**
 * A small file in a folder of ours.
 * @returns undefined if there is no such file or folder
 * @throws as `requireSafeFolder` and `readSmallFile`
 */
export async function readOwnFile(path: string, options: ReadOptions = {}): Promise<string | undefined> {
  const { deadlineMs = fixedLimits.SMALL_FILE_TIME } = options;
  try {
    await withDeadline(`look at ${dirname(path)}`, deadlineMs, async () => requireSafeFolder(dirname(path)));
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  return readSmallFile(path, options);
}

/** Root and whoever we are may own it; of groups, root's and our own may write. */
function findFault(found: Stats): string | undefined {
  if (found.isSymbolicLink()) return 'it is a symbolic link';
  if (!found.isDirectory()) return 'there is a file in its place';
  if (found.uid !== 0 && found.uid !== process.geteuid?.()) return `it belongs to the user ${found.uid}`;
  const isOwnGroup = found.gid === 0 || found.gid === process.getegid?.();
  const isOpen = (found.mode & 0o002) !== 0 || ((found.mode & 0o020) !== 0 && !isOwnGroup);
  return isOpen ? 'other users may write there' : undefined;
}
