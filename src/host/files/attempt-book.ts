import { noAttempts, readAttempts, writeAttempts, type Attempts } from './attempts.ts';
import { diskHint, StorageSilentError } from '../errors.ts';
import type { Configuration } from '../../support/configuration.ts';
import { DeadlineError, withDeadline } from '../../support/deadline.ts';
import { messageOf } from '../../support/errors.ts';
import type { Log } from '../../support/log.ts';

/** The record of attempts (`host/attempts.ts`) as the work uses it: no longer waited for than HOST_FILE. */
export interface AttemptBook {
  readonly configuration: Pick<Configuration, 'paths' | 'limits'>;
  readonly log: Log;
}

/** @throws StorageSilentError */
export async function lookUpAttempts({ configuration }: Omit<AttemptBook, 'log'>): Promise<Attempts> {
  const { paths, limits } = configuration;
  return answered(limits.HOST_FILE, async () => (await readAttempts(paths)).attempts);
}

/**
 * Changes the record; one that can't be read or written is told and stops nothing.
 * @returns the record as it is now, or as it would be
 * @throws StorageSilentError
 */
export async function changeAttempts(
  { configuration, log }: AttemptBook,
  change: (attempts: Attempts) => Attempts,
): Promise<Attempts> {
  const { paths, limits } = configuration;
  return answered(limits.HOST_FILE, async () => {
    const { attempts, problem } = await readAttempts(paths);
    if (problem !== undefined) log.warn('the record of attempts could not be read', { problem });
    const changed = change(attempts);
    try {
      await writeAttempts(paths, changed);
    } catch (error) {
      log.warn('the record of attempts could not be kept', { error: messageOf(error) });
    }
    return changed;
  });
}

/** The same for what has been done and counts whether its record can be kept or not. Throws nothing. */
export async function noteAttempts(
  book: AttemptBook,
  change: (attempts: Attempts) => Attempts,
): Promise<Attempts> {
  try {
    return await changeAttempts(book, change);
  } catch (error) {
    book.log.warn('the record of attempts could not be kept', { error: messageOf(error) });
    return noAttempts;
  }
}

async function answered<T>(ms: number, work: () => Promise<T>): Promise<T> {
  try {
    return await withDeadline('the record of attempts', ms, work);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new StorageSilentError(`the disk of /var/lib/rancher does not answer: ${error.message}`, {
      hint: diskHint('that disk'),
      cause: error,
    });
  }
}
