import { chmod } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../../support/errors.ts';
import type { Log } from '../../support/log.ts';
import { makeFolder, writeFileAtomically } from './files.ts';

type Write = typeof writeFileAtomically;

/** Permission bits of the file, and of its folder if only this program uses the folder. */
export interface FileModes {
  readonly file: number;
  readonly folder?: number;
}

/**
 * A file of which only the newest text counts. One write at a time: a disk that does not answer keeps one of Node's threads and
 * no more, and gets the newest text when it answers.
 */
export class QueuedFile {
  readonly #path: string;
  readonly #modes: FileModes;
  readonly #replace: Write;
  readonly #log: Log;
  #next: string | undefined;
  #writing: Promise<void> | undefined;
  #hasComplained = false;
  #isBehind = false;

  /** @param write replaces the file; another one than `writeFileAtomically` in tests */
  constructor(path: string, modes: FileModes, log: Log, write: Write = writeFileAtomically) {
    this.#path = path;
    this.#modes = modes;
    this.#log = log;
    this.#replace = write;
  }

  /** Whether the last write failed: the file has an older text, or there is none. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Queues a text to be written; does not wait and never throws. */
  put(text: string): void {
    this.#next = text;
    this.#writing ??= this.#writeNewest();
  }

  async idle(): Promise<void> {
    await this.#writing;
  }

  async #writeNewest(): Promise<void> {
    for (let text = this.#next; text !== undefined; text = this.#next) {
      this.#next = undefined;
      await this.#write(text);
    }
    this.#writing = undefined;
  }

  async #write(text: string): Promise<void> {
    const folder = dirname(this.#path);
    try {
      await makeFolder(folder);
      if (this.#modes.folder !== undefined) await chmod(folder, this.#modes.folder);
      await this.#replace(this.#path, text, { mode: this.#modes.file });
      this.#isBehind = false;
    } catch (error) {
      this.#isBehind = true;
      if (this.#hasComplained) return;
      this.#hasComplained = true;
      this.#log.warn('a file cannot be kept up to date', {
        file: this.#path,
        error: messageOf(error),
      });
    }
  }
}
