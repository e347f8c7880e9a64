import { request } from 'node:http';

export interface EngineAnswer {
  status: number;
  /** The parsed JSON; the text if the answer is not JSON. */
  body: unknown;
}

/**
 * Sends one request to the unix socket of an engine, without the client of the product: what a test reads does not
 * depend on the code under test.
 *
 * @param path with query; unversioned
 * @param timeoutMs the whole call, answer included
 */
export function callEngine(
  socketPath: string,
  method: string,
  path: string,
  { body, timeoutMs = 30_000 }: { body?: unknown; timeoutMs?: number } = {},
): Promise<EngineAnswer> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body);
    const headers = payload === undefined ? {} : { 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(timeoutMs);
    const call = request({ socketPath, method, path, headers, signal, agent: false }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, body: parseBody(Buffer.concat(chunks).toString()) }),
      );
    });
    call.on('error', (error) =>
      reject(
        signal.aborted ? new Error(`timeout: no answer to ${method} ${path} in ${timeoutMs} ms`) : error,
      ),
    );
    call.end(payload);
  });
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
