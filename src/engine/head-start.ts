import { PlainConnection } from './plain-connection.ts';
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
 * Asks for the engine's info. It goes out in the next turn of the event loop.
 * @param socketPath of the engine
 * @param userAgent tells the engine's log who asked
 */
export function askAhead(socketPath: string, userAgent: string): void {
  const ask = async (): Promise<EngineAnswer> =>
    new PlainConnection(socketPath, userAgent).ask('GET', '/info');
  const answer = ask();
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
