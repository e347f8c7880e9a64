import { readInfo } from './answers.ts';
import type { EngineInfo } from './engine.ts';
import { readRepeatedly, understand, type EngineOptions } from './reads.ts';
import { createTransport, type Transport } from './transport.ts';

/**
 * Only the engine's info, asked without a version prefix: one request, where connecting first would take two.
 * @throws EngineUnavailableError, NotPermittedError
 */
export async function readEngineInfo(options: EngineOptions): Promise<EngineInfo> {
  // Kept to the end of the process: Node opens stderr, for its own log, when it closes a connection.
  const { socketPath, userAgent, whenRefused } = options;
  return askInfo(options, createTransport(socketPath, undefined, userAgent, true, whenRefused));
}

/** The same over an existing transport. */
export async function askInfo(options: EngineOptions, transport: Transport): Promise<EngineInfo> {
  const { signal, limits } = options;
  const what = 'read engine info';
  const { text } = await readRepeatedly(options, transport, {
    what,
    method: 'GET',
    path: '/info',
    accept: [200],
    deadlineMs: limits.INFO,
    ...(signal === undefined ? {} : { signal }),
  });
  return understand(what, () => readInfo(text));
}
