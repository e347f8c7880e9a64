import { randomBytes } from 'node:crypto';
import { rm, rmdir } from 'node:fs/promises';
import { lock as takeLockFile } from 'proper-lockfile';
import type { Clock } from '../../support/clock.ts';
import { deadlineIn, formatDuration, withDeadline } from '../../support/deadline.ts';
import { messageOf, systemCodeOf, TryAgainLaterError } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Log } from '../../support/log.ts';
import { explainWriteError } from '../errors.ts';
import { makeFolder, removeTemporaryFiles } from './files.ts';
import {
  highestNumber,
  isLive,
  lockFileOf,
  lockFolderOf,
  readLockEntries,
  readLockRecord,
  readStrays,
  writeLockRecord,
  type LockEntry,
  type LockOwner,
  type LockRecord,
} from './lock-folder.ts';

/*
 * The lock of a host. proper-lockfile creates a folder (atomic), touches it while the holder lives, and reports when
 * another process has touched it. Its weakness is to steal a stale lock: between its check and its removal another process may
 * have stolen the lock, and then there are two holders (upstream #121). So here no process steals a lock:
 *
 *   1. Locks are numbered. A process that finds no live lock creates the folder of the *next* number; only one process can.
 *   2. Then it checks again. If there is another live lock, it gives its own back and waits. If two processes created theirs
 *      at the same time, the one that checks later sees the other, so never both stay.
 *   3. If the engine reports that a holder's container has exited, it is no holder any more: any process may remove its
 *      lock, because its number is never used again.
 *   4. Only the new holder removes dead locks, and numbers are not used again (the owner file keeps the last one). So no
 *      process ever removes, refreshes or releases a lock of another live holder.
 *   5. A folder whose number is far beyond the last one is a stray, not a lock: nobody waits for it, and it is removed. After
 *      the highest number, which only a damaged or hostile file or folder can bring, the lowest free one comes next.
 */

export interface HostLockOptions {
  /** The folder of the lock: `paths.entrypoint`. Created if missing. */
  readonly folder: string;
  readonly owner: LockOwner;
  /**
   * Whether a holder's container is known to have exited. If so, nobody waits until the lock of a killed holder is stale.
   * Without an answer the holder counts as alive.
   */
  readonly hasEnded?: (container: string) => Promise<boolean>;
  /** LOCK_WAIT, LOCK_STALE, LOCK_REFRESH, LOCK_LOOK and LOCK_POLL count here. */
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal?: AbortSignal;
}

/** What `status` shows of the lock. */
export type LockHolder =
  | { readonly state: 'free' }
  | {
      readonly state: 'held' | 'stale';
      readonly owner: LockRecord | undefined;
      /** Milliseconds since the holder last touched the lock. */
      readonly untouchedMs: number;
    };

/** The lock was lost during the work, e.g. because this process was frozen for longer than LOCK_STALE. */
export class LockLostError extends TryAgainLaterError {}

/**
 * Does `work` while this process is the only one on the host to hold the lock in `folder`. The signal given to `work`
 * is aborted (with a LockLostError) if the lock is lost, and when the caller's own signal is.
 * @throws TryAgainLaterError naming the holder and since when, if the lock is still held after LOCK_WAIT;
 * HostFolderUnwritableError when there can be no lock; whatever `work` throws
 */
export async function withHostLock<T>(
  options: HostLockOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const lost = new AbortController();
  const mine = await acquire(options, (reason) => {
    if (lost.signal.aborted) return;
    options.log.error('the lock of this host was lost', { reason });
    lost.abort(new LockLostError(`the lock of this host was lost: ${reason}`));
  });
  const watch = new AbortController();
  void watchOwnership(options, mine, watch.signal);
  try {
    await tidyUp(options);
    return await work(
      options.signal === undefined ? lost.signal : AbortSignal.any([options.signal, lost.signal]),
    );
  } finally {
    watch.abort(new Error('released'));
    await Promise.all([tidyUp(options), mine.release()]);
  }
}

/** Removes the temporary files of killed writers before the work and, if an agent was stopped meanwhile, after it. */
async function tidyUp({ folder, limits, log }: HostLockOptions): Promise<void> {
  try {
    await withDeadline('remove temporary files', limits.LOCK_LOOK, async () => removeTemporaryFiles(folder));
  } catch (error) {
    log.debug('the temporary files of killed writers were left', { error: messageOf(error) });
  }
}

/** Who holds the lock, for `status`; reads only. */
export async function readLockHolder(folder: string, limits: Limits, now: number): Promise<LockHolder> {
  const last = (await readLockEntries(folder)).at(-1);
  if (last === undefined) return { state: 'free' };
  const record = await readLockRecord(folder);
  return {
    state: isLive(last, limits.LOCK_STALE, now) ? 'held' : 'stale',
    owner: record?.generation === last.generation ? record : undefined,
    untouchedMs: Math.max(0, Math.round(now - last.touchedAt)),
  };
}

/** What the lock folder shows to a process that wants the lock. */
export type Standing =
  { readonly kind: 'held'; readonly by: number } | { readonly kind: 'free'; readonly next: number };

/** Whether the lock is free, and which number to use. `lastKnown` is the number in the owner file. */
export function judgeStanding(
  entries: readonly LockEntry[],
  lastKnown: number,
  staleMs: number,
  now: number,
): Standing {
  const live = entries.findLast((entry) => isLive(entry, staleMs, now));
  if (live !== undefined) return { kind: 'held', by: live.generation };
  const next = Math.max(lastKnown, entries.at(-1)?.generation ?? 0) + 1;
  return { kind: 'free', next: next <= highestNumber ? next : lowestFree(entries) };
}

function lowestFree(entries: readonly LockEntry[]): number {
  const taken = new Set(entries.map(({ generation }) => generation));
  let free = 1;
  while (taken.has(free)) free += 1;
  return free;
}

/** Why this process does not hold the lock any more; undefined while it does. */
export function findLoss(
  entries: readonly LockEntry[],
  mine: number,
  staleMs: number,
  now: number,
): string | undefined {
  const own = entries.find((entry) => entry.generation === mine);
  if (own === undefined) return 'its folder was removed';
  if (entries.some((entry) => entry.generation > mine && isLive(entry, staleMs, now)))
    return 'another process took it over';
  if (!isLive(own, staleMs, now)) return 'it could not be refreshed in time';
  return undefined;
}

interface HeldLock {
  readonly generation: number;
  readonly onLost: (reason: string) => void;
  release(): Promise<void>;
}

async function acquire(options: HostLockOptions, onLost: (reason: string) => void): Promise<HeldLock> {
  const { folder, limits, clock, signal } = options;
  await makeFolder(folder);
  const deadline = deadlineIn(limits.LOCK_WAIT, clock);
  for (;;) {
    signal?.throwIfAborted();
    const held = await tryAcquire(options, onLost).catch((error: unknown) => {
      // A disk that cannot be read keeps no lock either.
      throw explainWriteError(folder, error);
    });
    if (held !== undefined) return held;
    if (await removeEndedHolder(options)) continue;
    if (deadline.left() === 0) throw await describeHolder(options);
    // Random part: two processes that gave back at the same time must not collide again.
    const pause = limits.LOCK_POLL * (0.5 + clock.random());
    await clock.sleep(Math.min(pause, Math.max(1, deadline.left())), signal);
  }
}

/** Removes the lock of a holder that was killed. @returns whether there was one */
async function removeEndedHolder({ folder, hasEnded, log }: HostLockOptions): Promise<boolean> {
  const record = await readLockRecord(folder);
  if (record?.container === undefined || hasEnded === undefined) return false;
  const entries = await readLockEntries(folder);
  if (!entries.some(({ generation }) => generation === record.generation)) return false;
  if (!(await hasEnded(record.container))) return false;
  log.info(`the holder of the lock, container ${record.container}, exited without releasing it`);
  return rmdir(lockFolderOf(folder, record.generation)).then(
    () => true,
    (error: unknown) => systemCodeOf(error) === 'ENOENT',
  );
}

async function tryAcquire(
  options: HostLockOptions,
  onLost: (reason: string) => void,
): Promise<HeldLock | undefined> {
  const { folder, limits, clock } = options;
  const entries = await readLockEntries(folder);
  const lastKnown = (await readLockRecord(folder))?.generation ?? 0;
  const standing = judgeStanding(entries, lastKnown, limits.LOCK_STALE, clock.now());
  if (standing.kind === 'held') return undefined;
  const held = await makeLock(options, standing.next, onLost);
  if (held === undefined) return undefined;
  try {
    return await confirm(options, held, lastKnown);
  } catch (error) {
    await held.release();
    throw explainWriteError(folder, error);
  }
}

/** Step 1: the folder of that number, or undefined if another process was faster. */
async function makeLock(
  { folder, limits, log }: HostLockOptions,
  generation: number,
  onLost: (reason: string) => void,
): Promise<HeldLock | undefined> {
  try {
    const release = await takeLockFile(lockFileOf(folder, generation), {
      realpath: false,
      // Never stale: proper-lockfile must not steal.
      stale: Number.POSITIVE_INFINITY,
      update: limits.LOCK_REFRESH,
      onCompromised: (error) => {
        onLost(error.message);
      },
    });
    return { generation, onLost, release: () => releaseQuietly(release, limits, log) };
  } catch (error) {
    const code = systemCodeOf(error);
    // ENOENT: it was created, and the new holder has already removed it.
    if (code === 'ELOCKED' || code === 'ENOENT') return undefined;
    throw explainWriteError(folder, error);
  }
}

/**
 * Steps 2 to 4: keeps the lock only if no other process has one, writes the owner file, removes dead locks.
 * @param lastKnown the number in the owner file when the lock was judged free
 */
async function confirm(
  options: HostLockOptions,
  held: HeldLock,
  lastKnown: number,
): Promise<HeldLock | undefined> {
  const { folder, limits, clock, owner } = options;
  const others = (await readLockEntries(folder)).filter((entry) => entry.generation !== held.generation);
  const known = (await readLockRecord(folder))?.generation ?? 0;
  // After the highest number the lowest free one is lower than the last known one.
  const late = known >= held.generation && known !== lastKnown;
  if (late || others.some((entry) => isLive(entry, limits.LOCK_STALE, clock.now()))) {
    await held.release();
    return undefined;
  }
  const record: LockRecord = {
    ...owner,
    generation: held.generation,
    nonce: randomBytes(16).toString('hex'),
    since: new Date(clock.now()).toISOString(),
  };
  await writeLockRecord(folder, record);
  const dead = [...others.map(({ generation }) => generation), ...(await readStrays(folder))];
  for (const generation of dead) await removeDead(lockFolderOf(folder, generation));
  return held;
}

/** A dead lock, or what lies in its place. A folder that is not empty stays: it keeps nobody out. */
async function removeDead(path: string): Promise<void> {
  try {
    await rmdir(path);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOTDIR') await rm(path, { force: true }).catch(() => undefined);
  }
}

async function releaseQuietly(release: () => Promise<void>, limits: Limits, log: Log): Promise<void> {
  try {
    await withDeadline('release the lock', limits.HOST_FILE, async () => release());
  } catch (error) {
    // ERELEASED: it was lost before. After any other error, the lock becomes stale later.
    if (systemCodeOf(error) !== 'ERELEASED')
      log.warn('the lock could not be released', { error: messageOf(error) });
  }
}

/**
 * proper-lockfile detects a touch by another process. It misses other losses, because no lock is stale for it: this checks
 * them.
 */
async function watchOwnership(options: HostLockOptions, held: HeldLock, signal: AbortSignal): Promise<void> {
  const { folder, limits, clock } = options;
  let knownGoodAt = clock.elapsed();
  while (await slept(clock, limits.LOCK_REFRESH, signal)) {
    const reason = await lookForLoss(folder, held.generation, limits, clock, knownGoodAt);
    if (reason === undefined) knownGoodAt = clock.elapsed();
    else if (reason !== 'unknown') {
      // A lock that was given back during the check is missing, not lost.
      if (!signal.aborted) held.onLost(reason);
      return;
    }
  }
}

async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(ms, signal);
    return true;
  } catch {
    return false;
  }
}

async function lookForLoss(
  folder: string,
  generation: number,
  { LOCK_STALE, LOCK_LOOK }: Limits,
  clock: Clock,
  knownGoodAt: number,
): Promise<string | undefined> {
  try {
    // An unresponsive disk does not answer at all.
    const entries = await withDeadline('read the lock', LOCK_LOOK, async () => readLockEntries(folder));
    return findLoss(entries, generation, LOCK_STALE, clock.now());
  } catch (error) {
    return clock.elapsed() - knownGoodAt > LOCK_STALE ? `it cannot be read: ${messageOf(error)}` : 'unknown';
  }
}

async function describeHolder({ folder, limits, clock }: HostLockOptions): Promise<TryAgainLaterError> {
  const now = clock.now();
  const holder = await readLockHolder(folder, limits, now);
  const owner = holder.state === 'free' ? undefined : holder.owner;
  if (owner === undefined) {
    return new TryAgainLaterError('another command is at work on this host', {
      hint: 'nothing is wrong: try again in a minute',
    });
  }
  const who = owner.container === undefined ? `pid ${owner.pid}` : `container ${owner.container}`;
  const age = formatDuration(Math.max(0, now - Date.parse(owner.since)));
  return new TryAgainLaterError(
    `"${owner.command}" (${who}) is at work on this host since ${owner.since} (${age})`,
    { hint: 'nothing is wrong: try again when it is done' },
  );
}
