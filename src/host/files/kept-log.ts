import { constants } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Paths } from '../../support/configuration.ts';
import { messageOf } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { makeFolder } from './files.ts';

/*
 * The worker's log on the host. The engine removes the worker's container, and its log, as soon as it exits (AutoRemove). A
 * person who later searches for the reason of a failure finds it here. Only workers write this file, and only one worker
 * runs at a time.
 */

export function workerLogOf(paths: Paths): string {
  return join(paths.entrypoint, 'worker.log');
}

export interface KeptLogOptions {
  readonly path: string;
  /** WORKER_LOG_BYTES and WORKER_LOG_BACKLOG count here. */
  readonly limits: Limits;
  /** Called once, with the reason, when nothing can be written; nothing is written from then on. */
  readonly onTrouble: (reason: string) => void;
}

/** A log file that nobody waits for. */
export interface KeptLog {
  /** Returns at once. One write is in progress at a time; text that arrives meanwhile follows in the next write. */
  write(text: string): void;
}

/**
 * Appends to a file that only root can read. The calls are asynchronous: a disk that does not answer stops this log, and
 * nothing else. The kernel has every written text: a SIGKILL does not lose it.
 */
export function createKeptLog({ path, limits, onTrouble }: KeptLogOptions): KeptLog {
  const file = new LimitedFile(path, limits.WORKER_LOG_BYTES);
  let pending: string[] = [];
  let waiting = 0;
  let dropped = 0;
  let hasGivenUp = false;
  let writing: Promise<void> | undefined;

  const takePending = (): string => {
    const gap = dropped === 0 ? '' : `(${dropped} lines were left out: the disk was too slow)\n`;
    const text = pending.join('') + gap;
    pending = [];
    waiting = 0;
    dropped = 0;
    return text;
  };
  const writePending = async (): Promise<void> => {
    try {
      while (pending.length > 0) await file.append(takePending());
    } catch (error) {
      hasGivenUp = true;
      pending = [];
      onTrouble(messageOf(error));
    }
    writing = undefined;
  };
  return {
    write(text) {
      if (hasGivenUp) return;
      waiting += Buffer.byteLength(text);
      if (waiting > limits.WORKER_LOG_BACKLOG) dropped += 1;
      else pending.push(text);
      writing ??= writePending();
    },
  };
}

/** A file that becomes `NAME.1` when it is full. Opened for each piece, since nobody closes it when the process exits. */
class LimitedFile {
  readonly #path: string;
  readonly #most: number;

  constructor(path: string, most: number) {
    this.#path = path;
    this.#most = most;
  }

  async append(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    if (await this.#write(bytes, this.#most - bytes.length)) return;
    await rename(this.#path, `${this.#path}.1`);
    await this.#write(bytes, 0);
  }

  /**
   * Never through a link, nor into a FIFO, which waits for a reader: the file is written as root.
   * @param room the most bytes that the file may already have
   * @returns whether it was written; false if the file has more bytes than that
   */
  async #write(bytes: Buffer, room: number): Promise<boolean> {
    await makeFolder(dirname(this.#path));
    const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;
    const file = await open(this.#path, O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_WRONLY, 0o600);
    try {
      const found = await file.stat();
      if (!found.isFile()) throw new Error(`${this.#path} is no regular file`);
      await file.chmod(0o600);
      const { size } = found;
      if (size > 0 && size > room) return false;
      await file.appendFile(bytes);
      return true;
    } finally {
      await file.close();
    }
  }
}
