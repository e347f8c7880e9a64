import type { EngineInfo } from './engine.ts';
import { readRepeatedly, understand, type EngineOptions } from './reads.ts';
import { createTransport, type Transport } from './transport.ts';

/**
 * The engine's info and nothing else, asked without a prefix: one request where connecting and asking takes two.
 * @throws EngineUnavailableError, NotPermittedError
 */
export async function readEngineInfo(options: EngineOptions): Promise<EngineInfo> {
  // Kept to the end of the process: Node opens stderr, for its own log, when it closes a connection.
  return askInfo(options, createTransport(options.socketPath, undefined, options.userAgent, true));
}

/** The same over a transport that is there. What reads the answer is loaded while the engine is busy with it. */
export async function askInfo(options: EngineOptions, transport: Transport): Promise<EngineInfo> {
  const { signal, limits } = options;
  const asking = readRepeatedly(options, transport, {
    what: 'read engine info',
    method: 'GET',
    path: '/info',
    accept: [200],
    deadlineMs: limits.LIST,
    ...(signal === undefined ? {} : { signal }),
  });
  const [answer, { readInfo }] = await Promise.all([asking, loadReader()]);
  return understand('read engine info', () => readInfo(answer.text));
}

async function loadReader(): Promise<typeof import('./answers.ts')> {
  // The request goes out in the next turns of the event loop.
  await new Promise((resolve) => setTimeout(resolve, 1));
  return import('./answers.ts');
}
