import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { withDeadline } from '../support/deadline.ts';

/** What is needed to read a file in another container's file system. */
export interface InsideFile {
  /** Where the kernel shows processes. */
  readonly proc: string;
  /** A process of that container, in our pid namespace. */
  readonly pid: number;
  /** Absolute path in that container. */
  readonly path: string;
  /** A longer file is an error. */
  readonly maxBytes: number;
  readonly deadlineMs: number;
}

/**
 * Reads a small file through `/proc/PID/root`. The container controls that place. So no symbolic link is followed, because
 * the kernel would resolve an absolute link from OUR root, and only a regular file is read.
 * @returns undefined if there is no such file, or the process has exited
 * @throws other errors of the system; an Error for a link, a FIFO, a device, or a file that is too long; DeadlineError
 */
export async function readInside(file: InsideFile): Promise<string | undefined> {
  return withDeadline(`read ${file.path} of process ${file.pid}`, file.deadlineMs, async () => {
    try {
      return await readBeneath(file);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'ENOENT' || code === 'ESRCH') return undefined;
      if (code === 'ELOOP' || code === 'ENOTDIR') throw linkError(file);
      throw error;
    }
  });
}

async function readBeneath({ proc, pid, path, maxBytes }: InsideFile): Promise<string> {
  const names = path.split('/').filter((name) => name !== '' && name !== '.' && name !== '..');
  const last = names.pop() ?? '';
  let folder = await open(`${proc}/${pid}/root`, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (const name of names) {
      const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
      const inner = await open(`/proc/self/fd/${folder.fd}/${name}`, flags);
      await folder.close();
      folder = inner;
    }
    // O_NONBLOCK: a FIFO would wait for a writer.
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    return await readSmall(await open(`/proc/self/fd/${folder.fd}/${last}`, flags), maxBytes, path);
  } finally {
    await folder.close();
  }
}

async function readSmall(file: FileHandle, maxBytes: number, path: string): Promise<string> {
  try {
    const { size } = await requireRegular(file, path);
    if (size > maxBytes) throw new Error(`${path} is longer than ${maxBytes} bytes`);
    const buffer = Buffer.alloc(maxBytes);
    const { bytesRead } = await file.read(buffer, 0, maxBytes, 0);
    return buffer.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
}

async function requireRegular(file: FileHandle, path: string): Promise<{ readonly size: number }> {
  const found = await file.stat();
  if (!found.isFile()) throw new Error(`${path} is no regular file`);
  return found;
}

function linkError({ path }: InsideFile): Error {
  return new Error(`${path} lies behind a symbolic link, which is not followed`);
}
