import type { EngineAnswer } from './transport.ts';

/** More than this is no head of an answer (bytes); engines send a few hundred. */
const LONGEST_HEAD = 65_536;

/** What came is no answer of an HTTP server. */
export class GarbledAnswerError extends Error {
  constructor(why: string) {
    super(`no answer of an engine: ${why}`);
    this.name = 'GarbledAnswerError';
  }
}

export interface WholeAnswer extends EngineAnswer {
  /** Bytes of what was received that belong to it. */
  readonly size: number;
  /** Whether the connection may be asked again. */
  readonly keepsOpen: boolean;
}

/**
 * Reads one answer of HTTP/1.0 or 1.1, with a length, in chunks, or as long as the connection (RFC 9112, 6.3). For questions
 * other than HEAD and CONNECT.
 * @param received everything since the question
 * @param ended whether more may come
 * @returns undefined while it isn't whole
 * @throws GarbledAnswerError
 */
export function readAnswer(received: Buffer, ended: boolean): WholeAnswer | undefined {
  const headEnd = received.indexOf('\r\n\r\n');
  if (headEnd < 0) {
    if (ended || received.length > LONGEST_HEAD) throw new GarbledAnswerError('it ended too soon');
    return undefined;
  }
  const head = received.toString('latin1', 0, headEnd).toLowerCase();
  const [, minor, code] = /^http\/1\.([01]) (\d{3})\b/.exec(head) ?? [];
  if (code === undefined) throw new GarbledAnswerError('it is not HTTP');
  const status = Number(code);
  const body = readBody(received, headEnd + 4, head, status, ended);
  if (body === undefined) {
    if (ended) throw new GarbledAnswerError('it was cut in the middle');
    return undefined;
  }
  const keepsOpen = minor === '1' && !ended && fieldOf(head, 'connection') !== 'close';
  return { status, text: body.text, size: body.end, keepsOpen };
}

interface Body {
  readonly text: string;
  /** Where it ends in what was received. */
  readonly end: number;
}

function readBody(
  received: Buffer,
  start: number,
  head: string,
  status: number,
  ended: boolean,
): Body | undefined {
  if (status === 204 || status === 304) return { text: '', end: start };
  const coding = fieldOf(head, 'transfer-encoding');
  if (coding === 'chunked') return readChunks(received, start);
  if (coding !== undefined) throw new GarbledAnswerError(`a transfer encoding ${coding}`);
  const length = fieldOf(head, 'content-length');
  if (length === undefined) {
    return ended ? { text: received.toString('utf8', start), end: received.length } : undefined;
  }
  if (!/^\d{1,15}$/.test(length)) throw new GarbledAnswerError(`a length of ${length}`);
  const end = start + Number(length);
  return end <= received.length ? { text: received.toString('utf8', start, end), end } : undefined;
}

function readChunks(received: Buffer, start: number): Body | undefined {
  const chunks: Buffer[] = [];
  for (let at = start; ;) {
    const lineEnd = received.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    const [, digits] =
      /^([0-9a-fA-F]{1,12})(?:[ \t]*;.*)?$/.exec(received.toString('latin1', at, lineEnd)) ?? [];
    if (digits === undefined) throw new GarbledAnswerError('a chunk without a length');
    const size = parseInt(digits, 16);
    const from = lineEnd + 2;
    if (size === 0) return readTrailer(received, from, chunks);
    const end = from + size;
    if (received.length < end + 2) return undefined;
    if (received.toString('latin1', end, end + 2) !== '\r\n') {
      throw new GarbledAnswerError('a chunk longer than its length');
    }
    chunks.push(received.subarray(from, end));
    at = end + 2;
  }
}

/** Behind the last chunk: fields that nobody needs, and an empty line. */
function readTrailer(received: Buffer, start: number, chunks: readonly Buffer[]): Body | undefined {
  for (let at = start; ;) {
    const lineEnd = received.indexOf('\r\n', at);
    if (lineEnd < 0) return undefined;
    if (lineEnd === at) return { text: Buffer.concat(chunks).toString('utf8'), end: lineEnd + 2 };
    at = lineEnd + 2;
  }
}

/** @param head in lower case */
function fieldOf(head: string, name: string): string | undefined {
  const at = head.indexOf(`\r\n${name}:`);
  if (at < 0) return undefined;
  const from = at + name.length + 3;
  const end = head.indexOf('\r\n', from);
  return head.slice(from, end < 0 ? undefined : end).trim();
}
