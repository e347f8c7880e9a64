import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { withDeadline } from '../../support/deadline.ts';
import { systemCodeOf } from '../../support/errors.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';

export interface ReadOptions {
  /** Bytes; a larger file is an error. */
  readonly maxBytes?: number;
  readonly deadlineMs?: number;
  /** Called before the file is read, with its mode and owner. What it throws is thrown. */
  readonly onOpen?: (file: FileHandle, found: Stats) => Promise<void>;
}

/**
 * The text of a small file of the host. Every such file is read with this function, because others may write there: a link in the last
 * place is not followed, a FIFO or a device is not read, and an endless file cannot fill the memory. Nobody waits for an
 * unresponsive disk longer than the deadline.
 * @returns undefined if there is no such file
 * @throws Error for a link, for what is no regular file, and for one larger than `maxBytes`: it quotes nothing of the file;
 * DeadlineError; system errors other than ENOENT (EIO, EACCES, ENOTDIR) as they are
 */
export async function readSmallFile(
  path: string,
  {
    maxBytes = fixedLimits.SMALL_FILE,
    deadlineMs = fixedLimits.SMALL_FILE_TIME,
    onOpen = noLook,
  }: ReadOptions = {},
): Promise<string | undefined> {
  return withDeadline(`read ${path}`, deadlineMs, async (signal) => {
    const file = await openRegular(path);
    if (file === undefined) return undefined;
    try {
      const found = await file.stat();
      requireSmallFile(path, found, maxBytes);
      await onOpen(file, found);
      return await readWhole(file, maxBytes, signal);
    } finally {
      await file.close();
    }
  });
}

/**
 * The text of a file in /proc, which may have a line for each of thousands of mounts. Only the kernel writes there.
 * @throws as `readSmallFile`, and ENOENT
 */
export async function readKernelText(path: string): Promise<string> {
  const { KERNEL_FILE, KERNEL_FILE_TIME } = fixedLimits;
  return withDeadline(`read ${path}`, KERNEL_FILE_TIME, async (signal) => {
    const file = await open(path, constants.O_RDONLY);
    try {
      return await readWhole(file, KERNEL_FILE, signal);
    } finally {
      await file.close();
    }
  });
}

/**
 * The lines of a file in /proc that may be long, one by one: a busy host has hundreds of thousands of connections. Only the kernel
 * writes there. Memory stays flat, and other work goes on between the pieces.
 * @throws as `readKernelText`
 */
export async function readKernelLines(path: string, onLine: (line: string) => void): Promise<void> {
  const { KERNEL_FILE, KERNEL_FILE_TIME } = fixedLimits;
  await withDeadline(`read ${path}`, KERNEL_FILE_TIME, async (signal) => {
    const file = await open(path, constants.O_RDONLY);
    try {
      let rest = '';
      for (let size = 0; size <= KERNEL_FILE;) {
        signal.throwIfAborted();
        const piece = Buffer.alloc(pieceBytes);
        const { bytesRead } = await file.read(piece, 0, piece.length);
        size += bytesRead;
        const lines = (rest + piece.toString('latin1', 0, bytesRead)).split('\n');
        rest = bytesRead === 0 ? '' : (lines.pop() ?? '');
        for (const line of lines) onLine(line);
        if (bytesRead === 0) return;
      }
      throw tooLarge(KERNEL_FILE);
    } finally {
      await file.close();
    }
  });
}

/** O_NONBLOCK: a FIFO would wait for a writer, and some devices for theirs. */
async function openRegular(path: string): Promise<FileHandle | undefined> {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW } = constants;
  try {
    return await open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'ENOENT') return undefined;
    if (code === 'ELOOP') throw new Error(`${path} is a symbolic link, which is not followed`);
    // A socket, or a device without a driver.
    if (code === 'ENXIO') throw new Error(`${path} is no regular file`);
    throw error;
  }
}

function requireSmallFile(path: string, found: Stats, maxBytes: number): void {
  if (found.isDirectory()) throw new Error(`${path} is a folder`);
  if (!found.isFile()) throw new Error(`${path} is no regular file`);
  if (found.size > maxBytes) throw tooLarge(maxBytes);
}

/** The size that the kernel names is not enough: a file grows while it is read, and one in /proc has none. */
async function readWhole(file: FileHandle, maxBytes: number, signal: AbortSignal): Promise<string> {
  const pieces: Buffer[] = [];
  for (let size = 0; size <= maxBytes;) {
    signal.throwIfAborted();
    const piece = Buffer.alloc(Math.min(pieceBytes, maxBytes + 1 - size));
    const { bytesRead } = await file.read(piece, 0, piece.length);
    if (bytesRead === 0) return Buffer.concat(pieces).toString('utf8');
    pieces.push(piece.subarray(0, bytesRead));
    size += bytesRead;
  }
  throw tooLarge(maxBytes);
}

function tooLarge(maxBytes: number): Error {
  return new Error(`larger than ${maxBytes} bytes`);
}

async function noLook(): Promise<void> {
  return Promise.resolve();
}

const pieceBytes = 65_536;
