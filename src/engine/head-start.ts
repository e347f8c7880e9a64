import { connect } from 'node:net';
import type { EngineAnswer } from './transport.ts';

/**
 * A question that goes to the engine before this program is loaded. `inspect-host` waits for nothing as long as for the
 * engine's info, so the loader (image/main.ts) asks, and what takes the answer is loaded meanwhile. An answer that is late
 * or isn't one costs nothing but that: engine-info.ts then asks in the ordinary way.
 */

/** Where the loader leaves the answer: the program is another script of the same process. */
const place = Symbol.for('rancher-agent-entrypoint.head-start');
const places = globalThis as { [place]?: Promise<EngineAnswer> | undefined };

/**
 * Asks for the engine's info. Over HTTP/1.0, which has no chunks and whose answer ends with the connection (RFC 1945, 7.2.2):
 * Node's own client takes 4 ms to load and to send.
 * @param socketPath of the engine
 * @param userAgent tells the engine's log who asked
 */
export function askAhead(socketPath: string, userAgent: string): void {
  const answer = ask(socketPath, `GET /info HTTP/1.0\r\nHost: docker\r\nUser-Agent: ${userAgent}\r\n\r\n`);
  // Nobody may ever want it.
  answer.catch(() => undefined);
  places[place] = answer;
}

/** The answer to what was asked, once; it has no deadline of its own. @returns undefined if nothing was asked */
export function takeAnswerAhead(): Promise<EngineAnswer> | undefined {
  const answer = places[place];
  places[place] = undefined;
  return answer;
}

function ask(socketPath: string, request: string): Promise<EngineAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    connect(socketPath)
      .on('error', reject)
      .on('data', (chunk: Buffer) => chunks.push(chunk))
      .on('end', () => {
        const answer = readAnswer(Buffer.concat(chunks).toString('utf8'));
        if (answer === undefined) reject(new Error('the answer was cut'));
        else resolve(answer);
      })
      .write(request);
  });
}

/** @returns undefined if there is less than the headers promise, or something in pieces */
function readAnswer(raw: string): EngineAnswer | undefined {
  const [, status, headers, text] =
    /^HTTP\/1\.[01] (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n([^]*)$/.exec(raw) ?? [];
  if (status === undefined || headers === undefined || text === undefined) return undefined;
  const fields = headers.toLowerCase();
  const length = /^content-length: *(\d+)/m.exec(fields)?.[1];
  const isWhole = length === undefined || Number(length) === Buffer.byteLength(text);
  return isWhole && !fields.includes('transfer-encoding:') ? { status: Number(status), text } : undefined;
}
