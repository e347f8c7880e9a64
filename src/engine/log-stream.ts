import type { LogWriter } from './engine.ts';

/** Length of the header before each chunk of a container's log: stream, three zeros, length (engine API, attach). */
const headerLength = 8;

/**
 * Copies a container's log without the engine's framing. A stream that is not framed (a container with a terminal) is
 * copied as it is.
 */
export async function copyLog(stream: AsyncIterable<unknown>, write: LogWriter): Promise<void> {
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of stream) {
    pending = Buffer.concat([pending, chunk as Buffer]);
    pending = writeFrames(pending, write);
  }
  writeRest(pending, write);
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

/** The last, incomplete line of a container that was killed in the middle of it. */
function writeRest(rest: Buffer, write: LogWriter): void {
  const words = isHeader(rest) ? rest.subarray(headerLength) : rest;
  if (words.length > 0) write(words, streamOf(rest));
}

/** Writes the whole frames and returns the rest. */
export function writeFrames(bytes: Buffer, write: LogWriter): Buffer {
  let rest = bytes;
  while (rest.length >= headerLength) {
    if (!isHeader(rest)) {
      write(rest, streamOf(rest));
      return Buffer.alloc(0);
    }
    const end = headerLength + rest.readUInt32BE(4);
    if (rest.length < end) break;
    write(rest.subarray(headerLength, end), streamOf(rest));
    rest = rest.subarray(end);
  }
  return rest;
}

function streamOf(bytes: Buffer): 'stdout' | 'stderr' {
  return isHeader(bytes) && bytes[0] !== 1 ? 'stderr' : 'stdout';
}

function isHeader(bytes: Buffer): boolean {
  const [stream = 0, a, b, c] = bytes;
  return stream <= 2 && a === 0 && b === 0 && c === 0;
}
