import { withDeadline } from '../support/deadline.ts';
import { messageOf } from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import type { EngineInfo } from './engine.ts';
import { takeAnswerAhead } from './head-start.ts';
import { readRepeatedly, understand, type EngineOptions } from './reads.ts';
import type { EngineAnswer, Transport } from './transport.ts';

const what = 'read engine info';

/**
 * The engine's info and nothing else, asked without a prefix: one request where connecting and asking takes two, and none if
 * the loader has asked already.
 * @throws EngineUnavailableError, NotPermittedError
 */
export async function readEngineInfo(options: EngineOptions): Promise<EngineInfo> {
  return understandInfo(readInfoText(options));
}

/** The same over a transport that is there. */
export async function askInfo(options: EngineOptions, transport: Transport): Promise<EngineInfo> {
  return understandInfo(askInfoText(options, transport));
}

/** What was asked ahead is the first try; whatever came of that but an answer, the next one is an ordinary question. */
async function readInfoText(options: EngineOptions): Promise<string> {
  const { limits } = options;
  const ahead = takeAnswerAhead();
  if (ahead !== undefined) {
    const text = await readAnswerAhead(options, ahead);
    if (text !== undefined) return text;
  }
  const { createTransport } = await import('./transport.ts');
  const tries = Math.max(1, limits.CALL_TRIES - (ahead === undefined ? 0 : 1));
  // Kept to the end of the process: Node opens stderr, for its own log, when it closes a connection.
  const transport = createTransport(options.socketPath, undefined, options.userAgent, true);
  return askInfoText({ ...options, limits: { ...limits, CALL_TRIES: tries } }, transport);
}

/** @returns undefined, and says why, if it is no good answer */
async function readAnswerAhead(
  { limits, signal, log }: EngineOptions,
  ahead: Promise<EngineAnswer>,
): Promise<string | undefined> {
  let error: string;
  try {
    const { status, text } = await withDeadline(what, limits.INFO, async () => ahead, signal);
    if (status === 200) return text;
    error = `the engine answered ${status}`;
  } catch (cause) {
    signal?.throwIfAborted();
    error = messageOf(cause).replace(`${what}: `, '');
  }
  log.warn(`${what}: the question asked ahead failed`, { error, next: 'asked again' });
  return undefined;
}

async function askInfoText(options: EngineOptions, transport: Transport): Promise<string> {
  const { signal, limits } = options;
  const { text } = await readRepeatedly(options, transport, {
    what,
    method: 'GET',
    path: '/info',
    accept: [200],
    deadlineMs: limits.INFO,
    ...(signal === undefined ? {} : { signal }),
  });
  return text;
}

/** What reads the answer is loaded while the engine is busy with it. */
async function understandInfo(asking: Promise<string>): Promise<EngineInfo> {
  const [text, { readInfo }] = await Promise.all([asking, loadReader()]);
  return understand(what, () => readInfo(text));
}

async function loadReader(): Promise<typeof import('./answers.ts')> {
  // The request goes out in the next turns of the event loop.
  await new Promise((resolve) => setTimeout(resolve, fixedLimits.REQUEST_FIRST));
  return import('./answers.ts');
}
