import { Agent, type AgentOptions, type ClientRequest, type IncomingMessage } from 'node:http';
import { inspect, promisify } from 'node:util';
import Docker from 'dockerode';
import { DeadlineError, withDeadline } from '../support/deadline.ts';
import {
  EngineUnavailableError,
  EntrypointError,
  messageOf,
  NotPermittedError,
  systemCodeOf,
} from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import { EngineError, readErrorText } from './errors.ts';
import { Skimmer, type Shape } from './json/skimmer.ts';
import type { RegistryAuth } from './registry-auth.ts';
import { skimLimits } from './json/shapes.ts';

export interface EngineRequest {
  /** For errors and logs: `inspect container rancher-agent`. */
  readonly what: string;
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Sent as JSON in the body, never in the URL: it may hold keys. */
  readonly body?: object;
  /** Sent as a header. */
  readonly auth?: RegistryAuth;
  /** Statuses that are fine; any other one is an EngineError. */
  readonly accept: readonly number[];
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  /** What is kept of an accepted answer of more than ENGINE_ANSWER bytes; without it such an answer is an error. */
  readonly shape?: Shape;
}

export interface EngineAnswer {
  readonly status: number;
  readonly text: string;
  /** It was too large: `text` has only what the request's shape names. */
  readonly isSkimmed: boolean;
}

/** A socket file that the daemon has replaced by another one: nothing will ever listen on it again. */
export interface ReplacedSocket {
  /** Where this process sees the file that is on the host now; undefined: it does not see the host. */
  readonly present: string | undefined;
}

/** Tells whether the socket was replaced; undefined: no, or nobody knows. */
export type WhenRefused = () => Promise<ReplacedSocket | undefined>;

export interface Transport {
  request(request: EngineRequest): Promise<EngineAnswer>;
  /** For an answer that may be too big to be held as one text: `read` takes it piece by piece, within the deadline. */
  requestPieces<T>(request: EngineRequest, read: (body: AsyncIterable<Buffer>) => Promise<T>): Promise<T>;
  /** Resolves when the headers are there; the deadline covers those alone, `request.signal` closes the stream. */
  openStream(request: EngineRequest): Promise<IncomingMessage>;
}

/**
 * The one way to the engine, over dockerode's modem. Answers are always taken as streams and read here: a connection that
 * drops in mid-body is then an error at once, where dockerode's own promise would stay pending for ever.
 *
 * @param apiVersion prefix for every path, e.g. `1.22`; undefined talks to the engine's newest
 * @param userAgent shows in the log of the engine (and of a proxy) who asked
 * @param whenRefused asked each time that nothing listens on the socket
 * @param keepsConnections reuses connections, for thousands of small requests. A request can then fail because the engine
 * was restarted after the last one
 */
export function createTransport(
  socketPath: string,
  apiVersion: string | undefined,
  userAgent: string,
  keepsConnections = false,
  whenRefused: WhenRefused = notReplaced,
): Transport {
  const dialAt = (path: string): ReturnType<typeof createDial> =>
    createDial(path, apiVersion, new EngineAgent(keepsConnections));
  const dialHere = dialAt(socketPath);
  let there: { readonly path: string; readonly dial: typeof dialHere } | undefined;

  const openOver = async (
    dial: typeof dialHere,
    request: EngineRequest,
    signal: AbortSignal,
  ): Promise<IncomingMessage> =>
    dial({
      path: `${request.path}?`,
      method: request.method,
      options: { _query: request.query ?? {}, _body: request.body ?? {} },
      ...(request.auth === undefined ? {} : { authconfig: request.auth }),
      abortSignal: signal,
      isStream: true,
      headers: { 'User-Agent': userAgent },
      statusCodes: everyStatus,
    });

  const open = async (request: EngineRequest, signal: AbortSignal): Promise<IncomingMessage> => {
    try {
      return await openOver(dialHere, request, signal);
    } catch (error) {
      // Nothing was sent, so even a change may be sent again.
      const replaced = systemCodeOf(error) === 'ECONNREFUSED' ? await whenRefused() : undefined;
      if (replaced === undefined) throw error;
      if (replaced.present === undefined) throw deadSocketError(request.what, error);
      if (there?.path !== replaced.present)
        there = { path: replaced.present, dial: dialAt(replaced.present) };
      return await openOver(there.dial, request, signal).catch((second: unknown) => {
        // The daemon is still down: what the first socket says is as true, and its advice is better.
        throw ['ENOENT', 'ECONNREFUSED'].includes(systemCodeOf(second) ?? '') ? error : second;
      });
    }
  };

  /** The deadline closes a connection without headers. After the headers only `request.signal` closes it. */
  const openUntil = async (request: EngineRequest, deadline: AbortSignal): Promise<IncomingMessage> => {
    const signals = request.signal === undefined ? [deadline] : [deadline, request.signal];
    return open(request, AbortSignal.any(signals));
  };

  const exchange = async <T>(
    request: EngineRequest,
    read: (response: IncomingMessage) => Promise<T>,
  ): Promise<T> =>
    guard(request, async () =>
      withDeadline(
        request.what,
        request.deadlineMs,
        async (signal) => read(await open(request, signal)),
        request.signal,
      ),
    );

  return {
    async request(request) {
      return exchange(request, async (response) => {
        const status = response.statusCode ?? 0;
        const isFine = request.accept.includes(status);
        return check(request, status, await readAnswer(response, isFine ? request.shape : undefined));
      });
    },
    async requestPieces(request, read) {
      return exchange(request, async (response) => {
        const status = response.statusCode ?? 0;
        if (request.accept.includes(status)) return read(piecesOf(response));
        throw new EngineError(request.what, status, readErrorText(await readBody(response)));
      });
    },
    async openStream(request) {
      return guard(request, async () => {
        const response = await withDeadline(request.what, request.deadlineMs, async (deadline) =>
          openUntil(request, deadline),
        );
        const status = response.statusCode ?? 0;
        if (request.accept.includes(status)) return response;
        const text = await withDeadline(request.what, request.deadlineMs, async () =>
          readBody(response),
        ).finally(() => response.destroy());
        throw new EngineError(request.what, status, readErrorText(text));
      });
    },
  };
}

/** The modem's way to ask, over one socket. */
function createDial(socketPath: string, apiVersion: string | undefined, agent: Agent) {
  // The types of dockerode know no agent.
  const connection = { socketPath, agent };
  const docker = withoutDockerHost(
    () => new Docker({ ...connection, ...(apiVersion === undefined ? {} : { version: `v${apiVersion}` }) }),
  );
  type DialOptions = Parameters<typeof docker.modem.dial>[0];
  return promisify<DialOptions, IncomingMessage>((options, callback) => {
    docker.modem.dial(options, (error: Error | null, answer) => {
      callback(error, answer as IncomingMessage);
    });
  });
}

async function notReplaced(): Promise<undefined> {
  return Promise.resolve(undefined);
}

function deadSocketError(what: string, cause: unknown): EngineUnavailableError {
  return new EngineUnavailableError(
    `${what}: the Docker socket in this container is dead: the daemon has been restarted since the container started`,
    { hint: 'start this command again; with --pid=host it finds the new socket', cause },
  );
}

/**
 * The modem obeys `DOCKER_HOST` before its options: with an address of the network in it, it ignores the socket, and reads
 * certificates that may not be there. It reads the variable in its constructor only.
 */
function withoutDockerHost<T>(create: () => T): T {
  // eslint-disable-next-line no-restricted-properties -- nothing is read here: the modem is kept from reading it
  const { env } = process;
  const address = env['DOCKER_HOST'];
  if (address === undefined) return create();
  delete env['DOCKER_HOST'];
  try {
    return create();
  } finally {
    env['DOCKER_HOST'] = address;
  }
}

declare module 'node:http' {
  interface Agent {
    /** Gives a request a connection. Node's types leave it out. */
    addRequest(request: ClientRequest, options: object): void;
  }
}

/** Opens and keeps the connections to the engine. */
class EngineAgent extends Agent {
  /** @param keepAlive false: each request opens a connection of its own, which takes microseconds on a Unix socket */
  constructor(keepAlive: boolean) {
    // Without this server name Node checks whether `localhost` is an IPv6 address, which takes 4 ms of CPU.
    const options: AgentOptions & { readonly servername: string } = { keepAlive, servername: '' };
    super(options);
  }

  /**
   * The modem follows a redirect to any address of the network, and an error there is an uncaught exception. Without the
   * header it does not see a redirect.
   */
  override addRequest(request: ClientRequest, options: object): void {
    request.prependListener('response', ({ headers }) => {
      delete headers.location;
    });
    super.addRequest(request, options);
  }

  /** The modem prints each request for its debug log, with the agent and all connections: that takes 15 ms of CPU. */
  [inspect.custom](): string {
    return 'EngineAgent';
  }
}

/** The modem turns statuses into errors without the body's type; so this program checks the status itself. */
const everyStatus: Readonly<Record<number, true>> = Object.fromEntries(
  Array.from({ length: 500 }, (_, index) => [100 + index, true as const]),
);

type AnswerText = Pick<EngineAnswer, 'text' | 'isSkimmed'>;

/** It was given up in the middle. */
export class AnswerTooLargeError extends Error {}

/** The whole answer as text. @throws Error when it is cut, or longer than ENGINE_ANSWER bytes */
export async function readBody(response: IncomingMessage): Promise<string> {
  return (await readAnswer(response, undefined)).text;
}

/**
 * An answer as text. It uses events: for such short answers an iterator costs more than the answer.
 * @param shape what is kept of a longer answer than ENGINE_ANSWER
 * @throws Error when the answer is cut, or too long
 */
async function readAnswer(response: IncomingMessage, shape: Shape | undefined): Promise<AnswerText> {
  const { ENGINE_ANSWER, ENGINE_ANSWER_SKIMMED } = fixedLimits;
  const most = shape === undefined ? ENGINE_ANSWER : ENGINE_ANSWER_SKIMMED;
  const chunks: Buffer[] = [];
  let size = 0;
  let skimmer: Skimmer | undefined;
  response.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > most) {
      response.destroy(new AnswerTooLargeError(`the answer is longer than ${most / 2 ** 20} MiB`));
      return;
    }
    chunks.push(chunk);
    if (size <= ENGINE_ANSWER || shape === undefined) return;
    skimmer ??= new Skimmer(shape, skimLimits);
    try {
      for (const next of chunks.splice(0)) skimmer.take(next);
    } catch (error) {
      response.destroy(error instanceof Error ? error : new Error(String(error)));
    }
  });
  await new Promise<void>((resolve, reject) => {
    response.once('error', reject);
    response.once('close', () => {
      if (response.complete) resolve();
      else reject(cutError());
    });
  });
  if (skimmer === undefined) return { text: Buffer.concat(chunks).toString('utf8'), isSkimmed: false };
  return { text: JSON.stringify(skimmer.end()), isSkimmed: true };
}

async function* piecesOf(response: IncomingMessage): AsyncGenerator<Buffer> {
  for await (const chunk of response) yield chunk as Buffer;
  if (!response.complete) throw cutError();
}

function cutError(): Error {
  return new Error('the connection was cut in the middle of the answer');
}

/** @throws EngineError when the status is none of those that are fine */
function check(request: EngineRequest, status: number, answer: AnswerText): EngineAnswer {
  if (request.accept.includes(status)) return { status, ...answer };
  throw new EngineError(request.what, status, readErrorText(answer.text));
}

/** Turns an error of the connection into one of our errors. A refusal by the engine, and an abort, stay as they are. */
export async function guard<T>(request: EngineRequest, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof EntrypointError) throw error;
    request.signal?.throwIfAborted();
    throw unavailable(request.what, error);
  }
}

/** The outcome for an error of the connection or a deadline, which stays its cause. */
export function unavailable(what: string, error: unknown): EntrypointError {
  switch (systemCodeOf(error) ?? 'none') {
    case 'EACCES':
    case 'EPERM':
      return new NotPermittedError(`${what}: permission denied on the Docker socket`, {
        hint: 'run this container as root, with --privileged and -v /var/run/docker.sock:/var/run/docker.sock',
        cause: error,
      });
    case 'ENOENT':
      return new EngineUnavailableError(`${what}: there is no Docker socket`, {
        hint: 'mount it: -v /var/run/docker.sock:/var/run/docker.sock',
        cause: error,
      });
    case 'ECONNREFUSED':
      return new EngineUnavailableError(`${what}: nothing listens on the Docker socket`, {
        hint: 'is the Docker daemon running? systemctl status docker',
        cause: error,
      });
    default:
      return new EngineUnavailableError(
        error instanceof DeadlineError ? error.message : `${what}: ${messageOf(error)}`,
        {
          hint: 'the Docker daemon does not answer as it should: see its log (journalctl -u docker)',
          originalMessage: messageOf(error),
          cause: error,
        },
      );
  }
}
