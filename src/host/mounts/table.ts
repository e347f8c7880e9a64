import { open } from 'node:fs/promises';
import { withDeadline } from '../../support/deadline.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';

/** One line of `/proc/<pid>/mountinfo` (proc(5)), as far as this program needs it. */
export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The folder inside that file system which is mounted. */
  readonly root: string;
  readonly mountPoint: string;
  /** Whether mounts below it propagate to its peers. */
  readonly shared: boolean;
  /** Whether it gets what happens to another mount, also that this one is unmounted (`master:`). */
  readonly slave: boolean;
  readonly source: string;
}

/** Parses mountinfo; lines that are not understood are left out. Order, and so what covers what, is kept. */
export function parseMountinfo(text: string): Mount[] {
  return Buffer.from(text)
    .toString('latin1')
    .split('\n')
    .flatMap((line) => parseLine(line) ?? []);
}

/** What was found in a mount table. */
export interface MountSelection {
  /** In the order of the table. */
  readonly mounts: readonly Mount[];
  /** False if the table, or the selection, is larger than the limits allow: the rest was not read. */
  readonly isWhole: boolean;
}

/**
 * Selects mounts from a table in /proc, line by line: any user of the host can make a table of 100,000 mounts on long paths.
 * Reads at most MOUNT_TABLE bytes and keeps at most MOUNTS_KEPT mounts.
 * @param path e.g. `/proc/1/mountinfo`
 * @throws DeadlineError after KERNEL_FILE_TIME; system errors as they are
 */
export async function selectMounts(
  path: string,
  isWanted: (mount: Mount) => boolean,
): Promise<MountSelection> {
  const { KERNEL_FILE_TIME, MOUNTS_KEPT } = fixedLimits;
  return withDeadline(`read ${path}`, KERNEL_FILE_TIME, async (signal) => {
    const mounts: Mount[] = [];
    for await (const lines of linesOf(path, signal)) {
      if (lines === 'too long') return { mounts, isWhole: false };
      for (const line of lines) {
        const mount = parseLine(line);
        if (mount === undefined || !isWanted(mount)) continue;
        if (mounts.length === MOUNTS_KEPT) return { mounts, isWhole: false };
        mounts.push(mount);
      }
    }
    return { mounts, isWhole: true };
  });
}

/** The same where a part of the table would mislead. @throws Error if it is too large, and as `selectMounts` */
export async function requireMounts(
  path: string,
  isWanted: (mount: Mount) => boolean,
): Promise<readonly Mount[]> {
  const { mounts, isWhole } = await selectMounts(path, isWanted);
  if (!isWhole) throw new Error(`${path} has too many mounts`);
  return mounts;
}

async function* linesOf(
  path: string,
  signal: AbortSignal,
): AsyncGenerator<readonly string[] | 'too long', void> {
  const { MOUNT_TABLE, MOUNT_READ } = fixedLimits;
  const file = await open(path, 'r');
  try {
    const piece = Buffer.alloc(MOUNT_READ);
    let begun = '';
    for (let size = 0; size < MOUNT_TABLE;) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(piece, 0, piece.length);
      if (bytesRead === 0) {
        yield [begun];
        return;
      }
      size += bytesRead;
      // Bytes: `unescape` makes characters of them.
      const lines = (begun + piece.toString('latin1', 0, bytesRead)).split('\n');
      begun = lines.pop() ?? '';
      yield lines;
      if (begun.length > MOUNT_READ) break;
    }
    yield 'too long';
  } finally {
    await file.close();
  }
}

/** The mount one sees at exactly this path: the last one mounted there. */
export function findMount(mounts: readonly Mount[], mountPoint: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === mountPoint);
}

/** @param line with a character for each byte */
function parseLine(line: string): Mount | undefined {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', 6);
  const [, , device, root, mountPoint] = fields;
  if (separator === -1 || device === undefined || root === undefined || mountPoint === undefined)
    return undefined;
  const optional = fields.slice(6, separator);
  return {
    device,
    root: unescape(root),
    mountPoint: unescape(mountPoint),
    shared: optional.some((field) => field.startsWith('shared:')),
    slave: optional.some((field) => field.startsWith('master:')),
    source: unescape(fields[separator + 2] ?? ''),
  };
}

/**
 * Blank, tab, newline and backslash are written as `\040` and so on, and stand for bytes.
 * @param text with a character for each byte
 * @returns a copy, because a part of a string would keep the whole of it in memory
 */
function unescape(text: string): string {
  const plain = text.includes('\\')
    ? text.replace(/\\([0-7]{3})/g, (_match, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8) & 0xff),
      )
    : text;
  return Buffer.from(plain, 'latin1').toString('utf8');
}
