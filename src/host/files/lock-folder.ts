import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { systemCodeOf } from '../../support/errors.ts';
import { readTextIfExists, writeFileAtomically } from './files.ts';

/** Who holds, or last held, the lock; `lock-owner.json` beside the lock folders. */
export interface LockOwner {
  readonly command: string;
  /** Container id or name of the holder, if the holder knows it. */
  readonly container?: string;
  readonly pid: number;
}

const recordSchema = v.object({
  command: v.string(),
  container: v.optional(v.string()),
  pid: v.number(),
  generation: v.pipe(v.number(), v.integer(), v.minValue(0)),
  nonce: v.string(),
  since: v.pipe(v.string(), v.isoTimestamp()),
});

export type LockRecord = v.InferOutput<typeof recordSchema>;

/** One lock folder at this moment: its number, and when its holder last touched it (ms since 1970). */
export interface LockEntry {
  readonly generation: number;
  readonly touchedAt: number;
}

const entryPattern = /^lock-(\d{1,15})\.lock$/;

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

/** All lock folders, lowest generation first; none if the folder does not exist. */
export async function readLockEntries(folder: string): Promise<LockEntry[]> {
  const entries: LockEntry[] = [];
  for (const name of await namesIn(folder)) {
    const generation = entryPattern.exec(name)?.[1];
    if (generation === undefined) continue;
    const touchedAt = await modifiedAt(join(folder, name));
    if (touchedAt !== undefined) entries.push({ generation: Number(generation), touchedAt });
  }
  return entries.sort((a, b) => a.generation - b.generation);
}

/**
 * Whether a holder still touches its lock. A touch from far in the future is stale too: the clock was set back, and a live
 * holder corrects that with its next touch.
 */
export function isLive(entry: LockEntry, staleMs: number, now: number): boolean {
  return Math.abs(now - entry.touchedAt) <= staleMs;
}

/** The owner file's content; undefined if there is none or it cannot be understood: it explains, it never decides. */
export async function readLockRecord(folder: string): Promise<LockRecord | undefined> {
  const text = await readTextIfExists(ownerFileOf(folder));
  if (text === undefined) return undefined;
  try {
    const parsed = v.safeParse(recordSchema, JSON.parse(text));
    return parsed.success ? parsed.output : undefined;
  } catch {
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
    if (systemCodeOf(error) === 'ENOENT') return [];
    throw error;
  }
}

async function modifiedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
