import { join } from 'node:path';
import * as v from 'valibot';
import { diskHint, DiskUnresponsiveError } from '../errors.ts';
import type { Paths } from '../../support/configuration.ts';
import { DeadlineError, withDeadline } from '../../support/deadline.ts';
import { messageOf } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Log } from '../../support/log.ts';
import { doubling } from '../../support/retry.ts';
import { makeFolder, writeFileAtomically } from './files.ts';
import { parseJsonAs } from './json.ts';
import { readOwnFile } from './safe-folder.ts';

/*
 * Attempts per target image, kept on the host: a target that failed is not tried again at once, even if many callers ask
 * often. All times are milliseconds since 1970 by the wall clock, which may jump.
 */

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const recordSchema = v.object({
  image: v.string(),
  /** Failed attempts since the last success. */
  failures: count,
  /** Interrupted attempts: the process was killed, or the power was cut. */
  interruptions: count,
  /** An attempt has been running since then, or was running when its process was killed. */
  begunAt: v.exactOptional(v.number()),
  /** The end of the last failure, or the begin of the last interrupted attempt. */
  troubledAt: v.exactOptional(v.number()),
  /** Code of the last failure's cause. */
  cause: v.exactOptional(v.string()),
});

const attemptsSchema = v.object({
  version: v.literal(1),
  /** Most recently tried last. */
  targets: v.array(recordSchema),
  /** Changes of the required image, oldest first; two entries in a row are never the same. */
  history: v.array(v.object({ image: v.string(), at: v.number() })),
});

export type AttemptRecord = Readonly<v.InferOutput<typeof recordSchema>>;
export type TargetChange = Readonly<{ image: string; at: number }>;

export interface Attempts {
  readonly version: 1;
  readonly targets: readonly AttemptRecord[];
  readonly history: readonly TargetChange[];
}

export const noAttempts: Attempts = { version: 1, targets: [], history: [] };

/** The record of a target, if it was ever tried without success since. */
export function findAttempt(attempts: Attempts, image: string): AttemptRecord | undefined {
  return attempts.targets.find((record) => record.image === image);
}

/** An attempt begins. An earlier one that is still open was interrupted, because the process that begins holds the lock. */
export function recordBegin(attempts: Attempts, image: string, now: number, limits: Limits): Attempts {
  const before = closeOpen(findAttempt(attempts, image) ?? { image, failures: 0, interruptions: 0 });
  const changed = attempts.history.at(-1)?.image !== image;
  return bound(
    {
      version: 1,
      targets: [...others(attempts, image), { ...before, begunAt: now }],
      history: changed ? [...attempts.history, { image, at: now }] : attempts.history,
    },
    limits,
  );
}

/** The running attempt failed; `cause` is the code of the error. */
export function recordFailure(
  attempts: Attempts,
  image: string,
  cause: string,
  now: number,
  limits: Limits,
): Attempts {
  const { failures = 0, interruptions = 0 } = findAttempt(attempts, image) ?? {};
  const record: AttemptRecord = { image, failures: failures + 1, interruptions, troubledAt: now, cause };
  return bound({ ...attempts, targets: [...others(attempts, image), record] }, limits);
}

/** The running attempt stopped for a reason that is not a fault of its target (a signal, low storage). */
export function recordAbandon(attempts: Attempts, image: string): Attempts {
  return {
    ...attempts,
    targets: attempts.targets.map((record) => (record.image === image ? withoutBegin(record) : record)),
  };
}

/** The target is reached: its failures are forgotten. */
export function recordSuccess(attempts: Attempts, image: string): Attempts {
  return { ...attempts, targets: others(attempts, image) };
}

/**
 * When the target may be tried again.
 * @returns milliseconds since 1970, never later than ATTEMPT_PAUSE_MAX from `now`; undefined: at once
 */
export function nextAttemptAt(
  record: AttemptRecord | undefined,
  limits: Limits,
  now: number,
): number | undefined {
  if (record === undefined) return undefined;
  const { failures, interruptions, troubledAt } = closeOpen(record);
  const troubles = failures + Math.max(0, interruptions - limits.ATTEMPT_FREE_INTERRUPTIONS);
  // From the future: the clock was set back. One early try is better than a pause of unknown length.
  if (troubles === 0 || troubledAt === undefined || troubledAt > now) return undefined;
  const next = troubledAt + doubling(limits.ATTEMPT_PAUSE_MIN, limits.ATTEMPT_PAUSE_MAX)(troubles);
  return next > now ? next : undefined;
}

/**
 * When the agent may change to `image` again, if it does not change to another image before that. Two servers, or two people,
 * require different images if `image` was replaced by another one and is required again, more than once within
 * FLAPPING_WINDOW: it then waits for FLAPPING_WINDOW after the change to `image` that was one too many.
 * @returns milliseconds since 1970, never later than FLAPPING_WINDOW from `now`, as after a clock was set back; undefined:
 * now
 */
export function flappingEndsAt(
  history: readonly TargetChange[],
  image: string,
  limits: Limits,
  now: number,
): number | undefined {
  const recent = history.filter((change) => Math.abs(now - change.at) <= limits.FLAPPING_WINDOW);
  const times = recent.filter((change) => change.image === image).map((change) => change.at);
  // The target of the last change is the present one: to require it is not a return.
  const free = recent.at(-1)?.image === image ? limits.FLAPPING_RETURNS + 1 : limits.FLAPPING_RETURNS;
  const oneTooMany = times.at(-free);
  return oneTooMany === undefined ? undefined : Math.min(oneTooMany, now) + limits.FLAPPING_WINDOW;
}

export function attemptsFileOf(paths: Paths): string {
  return join(paths.entrypoint, 'attempts.json');
}

/**
 * Reads the attempts. What cannot be read or understood counts as none, with the reason for the log: a missing pause is
 * better than an entrypoint that refuses to work.
 */
export async function readAttempts(paths: Paths): Promise<{ attempts: Attempts; problem?: string }> {
  try {
    const text = await readOwnFile(attemptsFileOf(paths));
    if (text === undefined) return { attempts: noAttempts };
    return parseAttempts(text, attemptsFileOf(paths));
  } catch (error) {
    return {
      attempts: noAttempts,
      problem: `${attemptsFileOf(paths)} cannot be read: ${messageOf(error)}`,
    };
  }
}

/** Understands the text of the record; what cannot be understood counts as none, with the reason. */
export function parseAttempts(
  text: string,
  name = 'attempts.json',
): { attempts: Attempts; problem?: string } {
  try {
    return { attempts: parseJsonAs(text, attemptsSchema, 'attempts') };
  } catch (error) {
    return { attempts: noAttempts, problem: `${name} cannot be understood: ${messageOf(error)}` };
  }
}

/** @throws HostFolderUnwritableError when nothing can be written there */
export async function writeAttempts(paths: Paths, attempts: Attempts): Promise<void> {
  await makeFolder(paths.entrypoint);
  await writeFileAtomically(attemptsFileOf(paths), `${JSON.stringify(attempts, undefined, 2)}\n`, {
    mode: 0o644,
  });
}

/** What is needed to use the record while work waits for it: never longer than HOST_FILE. */
export interface AttemptBook {
  readonly paths: Paths;
  readonly limits: Limits;
  readonly log: Log;
}

/** @throws DiskUnresponsiveError */
export async function lookUpAttempts({ paths, limits }: Omit<AttemptBook, 'log'>): Promise<Attempts> {
  return answered(limits.HOST_FILE, async () => (await readAttempts(paths)).attempts);
}

/**
 * Changes the record. If it cannot be read or written, this is logged and the work continues.
 * @returns the record as it is now, or as it would be
 * @throws DiskUnresponsiveError
 */
export async function changeAttempts(
  { paths, limits, log }: AttemptBook,
  change: (attempts: Attempts) => Attempts,
): Promise<Attempts> {
  return answered(limits.HOST_FILE, async () => {
    const { attempts, problem } = await readAttempts(paths);
    if (problem !== undefined) log.warn('cannot read the record of attempts', { problem });
    const changed = change(attempts);
    try {
      await writeAttempts(paths, changed);
    } catch (error) {
      log.warn('cannot write the record of attempts', { error: messageOf(error) });
    }
    return changed;
  });
}

/** The same for a fact that counts even if it cannot be recorded. Never throws. */
export async function noteAttempts(
  book: AttemptBook,
  change: (attempts: Attempts) => Attempts,
): Promise<Attempts> {
  try {
    return await changeAttempts(book, change);
  } catch (error) {
    book.log.warn('cannot write the record of attempts', { error: messageOf(error) });
    return noAttempts;
  }
}

async function answered<T>(ms: number, work: () => Promise<T>): Promise<T> {
  try {
    return await withDeadline('the record of attempts', ms, work);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new DiskUnresponsiveError(`the disk of /var/lib/rancher does not answer: ${error.message}`, {
      hint: diskHint('that disk'),
      cause: error,
    });
  }
}

/** Turns an attempt that is still open into an interrupted one. */
function closeOpen(record: AttemptRecord): AttemptRecord {
  const { begunAt, ...rest } = record;
  if (begunAt === undefined) return record;
  return { ...rest, interruptions: record.interruptions + 1, troubledAt: begunAt };
}

function withoutBegin(record: AttemptRecord): AttemptRecord {
  const { ...closed }: v.InferOutput<typeof recordSchema> = record;
  delete closed.begunAt;
  return closed;
}

function others(attempts: Attempts, image: string): AttemptRecord[] {
  return attempts.targets.filter((record) => record.image !== image);
}

function bound(attempts: Attempts, limits: Limits): Attempts {
  return {
    version: 1,
    targets: attempts.targets.slice(-limits.ATTEMPT_TARGETS),
    history: attempts.history.slice(-limits.ATTEMPT_TARGETS),
  };
}
