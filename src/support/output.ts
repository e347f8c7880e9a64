import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { fixedLimits } from './limits/fixed.ts';

export type OutputName = 'stdout' | 'stderr';

/** Stdout and stderr, whose reader may be slow, or not read at all (a pager, a log driver that waits). */
export interface Output {
  /**
   * The kernel has the text when this returns, so that nothing is lost with a SIGKILL. If the reader is behind, the rest is kept and
   * written when there is room: that costs no CPU, and signals are still obeyed. A reader that has gone away is no error of ours.
   */
  write(chunk: string | Buffer, stream: OutputName): void;
  /** Waits until everything is written, but no longer than until the signal comes. Never throws. */
  flushed(signal: AbortSignal): Promise<void>;
}

/** The output of this process. */
export function createOutput(): Output {
  const queues = {
    stdout: new OutputQueue(1, 'waits', fixedLimits.OUTPUT_PATIENCE),
    stderr: new OutputQueue(2, 'drops', fixedLimits.OUTPUT_LOG_PATIENCE),
  };
  return {
    write(chunk, stream) {
      queues[stream].write(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
    },
    async flushed(signal) {
      await Promise.all([queues.stdout.empty(signal), queues.stderr.empty(signal)]);
    },
  };
}

/** What is still to be written to one descriptor, in order. */
class OutputQueue {
  readonly #number: number;
  readonly #whenFull: 'waits' | 'drops';
  readonly #patience: number;
  #descriptor: number | undefined;
  #pending: Buffer[] = [];
  /** Those before it are written. */
  #at = 0;
  #size = 0;
  #dropped = 0;
  #isGone = false;
  #timer: NodeJS.Timeout | undefined;
  /** Until it is tried again: short while the reader reads. In ms. */
  #pause: number = fixedLimits.OUTPUT_POLL_MIN;

  /**
   * @param whenFull what to do with more than OUTPUT_BACKLOG: a log leaves lines out, a result is waited for
   * @param patience ms that an exiting process waits for the reader
   */
  constructor(number: number, whenFull: 'waits' | 'drops', patience: number) {
    this.#number = number;
    this.#whenFull = whenFull;
    this.#patience = patience;
  }

  write(bytes: Buffer): void {
    if (this.#isGone || bytes.length === 0) return;
    if (this.#size > fixedLimits.OUTPUT_BACKLOG) {
      if (this.#whenFull === 'drops') {
        this.#dropped += 1;
        return;
      }
      this.#drainWaiting();
    }
    this.#pending.push(bytes);
    this.#size += bytes.length;
    // Behind earlier ones it waits for its turn.
    if (this.#timer === undefined) this.#drain();
  }

  async empty(signal: AbortSignal): Promise<void> {
    const ends = performance.now() + this.#patience;
    while (this.#size > 0 && !signal.aborted && performance.now() < ends) {
      await new Promise((resolve) => setTimeout(resolve, this.#pause));
    }
  }

  #drain(): void {
    this.#timer = undefined;
    const before = this.#size;
    this.#writePending();
    const isRead = this.#size < before;
    this.#pause = isRead
      ? fixedLimits.OUTPUT_POLL_MIN
      : Math.min(2 * this.#pause, fixedLimits.OUTPUT_POLL_MAX);
    if (this.#size > 0) {
      this.#timer = setTimeout(() => {
        this.#drain();
      }, this.#pause);
    }
  }

  /** More is kept than there should be. The thread sleeps, and signals wait meanwhile. */
  #drainWaiting(): void {
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    while (this.#size > fixedLimits.OUTPUT_BACKLOG && !this.#isGone) {
      this.#writePending();
      if (this.#size > 0) Atomics.wait(sleeper, 0, 0, fixedLimits.OUTPUT_POLL_MIN);
    }
  }

  /** Writes until the kernel takes no more. */
  #writePending(): void {
    for (let next = this.#pending[this.#at]; next !== undefined; next = this.#pending[this.#at]) {
      const written = this.#tryWrite(next);
      if (written === 0) return;
      this.#size -= written;
      if (written < next.length) this.#pending[this.#at] = next.subarray(written);
      else this.#at += 1;
    }
    this.#pending = [];
    this.#at = 0;
    if (this.#dropped > 0) this.#reportDropped();
  }

  #reportDropped(): void {
    const line = Buffer.from(`WARN: ${this.#dropped} lines were left out: nobody read them\n`);
    this.#dropped = 0;
    this.#pending.push(line);
    this.#size += line.length;
  }

  /** @returns bytes; 0 if there is no room */
  #tryWrite(bytes: Buffer): number {
    try {
      this.#descriptor ??= openPatiently(this.#number);
      return writeSync(this.#descriptor, bytes);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : undefined;
      if (code === 'EAGAIN') return 0;
      this.#isGone = true;
      this.#pending = [];
      this.#size = 0;
      return 0;
    }
  }
}

/**
 * A full pipe, or a terminal that was stopped, blocks a write, and with it every signal. So we open it again for ourselves: to make the
 * descriptor itself non-blocking would do that to every process that has it. Anything else stays as it is.
 */
function openPatiently(number: number): number {
  try {
    const found = fstatSync(number);
    if (!found.isFIFO() && !found.isCharacterDevice()) return number;
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
    const opened = openSync(`/proc/self/fd/${number}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
    if (opened > 2) return opened;
    // Node was started without stdin or stderr: it must not take their numbers.
    closeSync(opened);
    return number;
  } catch {
    return number;
  }
}
