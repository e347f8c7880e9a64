import { fixedLimits } from '../support/limits/fixed.ts';
import type { LogWriter } from './engine.ts';

/** Length of the header before each chunk of a container's log: stream, three zeros, length (engine API, attach). */
const headerLength = 8;

/**
 * Copies a container's log without the engine's framing, piece by piece as it comes. A stream that is not framed (a container
 * with a terminal) is copied as it is.
 */
export async function copyLog(stream: AsyncIterable<unknown>, write: LogWriter): Promise<void> {
  const unframe = new Unframer(write);
  for await (const chunk of stream) unframe.take(chunk as Buffer);
  unframe.end();
}

/**
 * The text of a log that the engine closes at its end.
 * @param most bytes that are read; the rest is left
 */
export async function readLog(stream: AsyncIterable<Buffer>, most: number): Promise<string> {
  const chunks: Buffer[] = [];
  await copyLog(atMost(stream, most), (chunk) => chunks.push(chunk));
  return Buffer.concat(chunks).toString('utf8');
}

async function* atMost(stream: AsyncIterable<Buffer>, most: number): AsyncGenerator<Buffer> {
  let left = most;
  for await (const chunk of stream) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}

/**
 * Old engines (1.10.3) find out that a log driver cannot be read only after they have sent 200: the reason is then in the
 * log.
 */
export function readLogRefusal(text: string): string | undefined {
  return /^Error running logs job: (.*)/.exec(text)?.[1];
}

/** Keeps at most one incomplete header. */
class Unframer {
  readonly #write: LogWriter;
  #header: Buffer = Buffer.alloc(0);
  #stream: 'stdout' | 'stderr' = 'stdout';
  /** Bytes of the present frame that are still to come. */
  #left = 0;

  constructor(write: LogWriter) {
    this.#write = write;
  }

  take(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      if (this.#left === 0) {
        rest = this.#readHeader(rest);
        continue;
      }
      const piece = rest.subarray(0, this.#left);
      this.#left -= piece.length;
      this.#write(piece, this.#stream);
      rest = rest.subarray(piece.length);
    }
  }

  /** A few bytes that never became a header. */
  end(): void {
    if (this.#header.length > 0 && !isHeader(this.#header)) this.#write(this.#header, 'stdout');
    this.#header = Buffer.alloc(0);
  }

  /** @returns what follows the header; nothing if there was none, or not yet a whole one */
  #readHeader(bytes: Buffer): Buffer {
    const all = Buffer.concat([this.#header, bytes]);
    this.#header = Buffer.alloc(0);
    if (all.length < headerLength) {
      this.#header = all;
      return Buffer.alloc(0);
    }
    const length = all.readUInt32BE(4);
    if (!isHeader(all)) {
      this.#write(all, 'stdout');
      return Buffer.alloc(0);
    }
    this.#stream = all[0] === 1 ? 'stdout' : 'stderr';
    // No frame is that long: what comes is copied as it is, and no other header is looked for.
    this.#left = length > fixedLimits.LOG_FRAME ? Infinity : length;
    return all.subarray(headerLength);
  }
}

function isHeader(bytes: Buffer): boolean {
  const [stream = 0, a, b, c] = bytes;
  return stream <= 2 && a === 0 && b === 0 && c === 0;
}
