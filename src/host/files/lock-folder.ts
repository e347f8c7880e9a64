import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { DeadlineError } from '../../support/deadline.ts';
import { systemCodeOf } from '../../support/errors.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import { writeFileAtomically } from './files.ts';
import { parseJsonAs } from './json.ts';
import { readOwnFile } from './safe-folder.ts';

/** Who holds, or last held, the lock; `lock-owner.json` beside the lock folders. */
export interface LockOwner {
  readonly command: string;
  /** Container id or name of the holder, if the holder knows it. */
  readonly container?: string;
  readonly pid: number;
}

/** A lock each second for 30 years: a record with a higher number is damaged, and a folder with one is a stray. */
export const highestNumber = 1_000_000_000;

const recordSchema = v.object({
  command: v.string(),
  container: v.optional(v.string()),
  pid: v.number(),
  generation: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(highestNumber)),
  nonce: v.string(),
  since: v.pipe(v.string(), v.isoTimestamp()),
});

export type LockRecord = v.InferOutput<typeof recordSchema>;

/** One lock folder at this moment: its number, and when its holder last touched it (ms since 1970). */
export interface LockEntry {
  readonly generation: number;
  readonly touchedAt: number;
}

const entryPattern = /^lock-([1-9]\d{0,14})\.lock$/;

/**
 * Numbers beyond the recorded one that a lock can have: each process that was killed between its lock and its record leaves one.
 * A folder with a higher number is a stray: obeyed, it would make numbers so long that no process sees the next lock.
 */
const mostAhead = 1_000;

/** The file that proper-lockfile locks; its lock is the folder of that name plus `.lock`. */
export function lockFileOf(folder: string, generation: number): string {
  return join(folder, `lock-${generation}`);
}

/** The folder that is the lock of a generation. */
export function lockFolderOf(folder: string, generation: number): string {
  return `${lockFileOf(folder, generation)}.lock`;
}

export function ownerFileOf(folder: string): string {
  return join(folder, 'lock-owner.json');
}

/** All lock folders without strays, lowest generation first; none if the folder does not exist. */
export async function readLockEntries(folder: string): Promise<LockEntry[]> {
  const highest = await findHighest(folder);
  const entries: LockEntry[] = [];
  for (const generation of await numbersIn(folder)) {
    // Strays are not looked at: somebody may have created a million of them.
    if (generation > highest) break;
    const touchedAt = await touchedAtIfThere(lockFolderOf(folder, generation));
    if (touchedAt !== undefined) entries.push({ generation, touchedAt });
  }
  return entries;
}

/** Numbers of folders that are named as locks, but have a number that no lock of this host can have: STRAYS_AT_ONCE at most. */
export async function readStrays(folder: string): Promise<readonly number[]> {
  const highest = await findHighest(folder);
  const strays = (await numbersIn(folder)).filter((generation) => generation > highest);
  return strays.slice(0, fixedLimits.STRAYS_AT_ONCE);
}

/** The highest number that a lock can have now. Without a record that can be read, any number may have been used. */
async function findHighest(folder: string): Promise<number> {
  const record = await readLockRecord(folder);
  return record === undefined ? highestNumber : Math.min(record.generation + mostAhead, highestNumber);
}

/** The lowest first. */
async function numbersIn(folder: string): Promise<readonly number[]> {
  return (await namesIn(folder))
    .map((name) => entryPattern.exec(name)?.[1])
    .filter((number) => number !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/**
 * Whether a holder still touches its lock. A touch from far in the future is stale too: the clock was set back, and a live
 * holder corrects that with its next touch.
 */
export function isLive(entry: LockEntry, staleMs: number, now: number): boolean {
  return Math.abs(now - entry.touchedAt) <= staleMs;
}

/**
 * The owner file's content; undefined if there is none or it cannot be read or understood: it explains, it never decides.
 * @throws DeadlineError
 */
export async function readLockRecord(folder: string): Promise<LockRecord | undefined> {
  try {
    const text = await readOwnFile(ownerFileOf(folder));
    return text === undefined ? undefined : parseJsonAs(text, recordSchema, 'owner');
  } catch (error) {
    if (error instanceof DeadlineError) throw error;
    return undefined;
  }
}

/** @throws HostFolderUnwritableError when nothing can be written there */
export async function writeLockRecord(folder: string, record: LockRecord): Promise<void> {
  await writeFileAtomically(ownerFileOf(folder), `${JSON.stringify(record)}\n`, { mode: 0o644 });
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw error;
  }
}

/**
 * A file or a link holds no lock, whenever it was touched, but its number is taken.
 * @returns ms since 1970; undefined if there is nothing any more
 */
async function touchedAtIfThere(path: string): Promise<number | undefined> {
  try {
    const found = await lstat(path);
    return found.isDirectory() ? found.mtimeMs : 0;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
