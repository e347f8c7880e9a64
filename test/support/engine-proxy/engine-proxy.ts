/**
 * An HTTP proxy between two unix sockets, in front of a test host's engine: records every request, delays, answers
 * itself, cuts connections, loses answers, calls back at the n-th request, and imitates engines that speak an older
 * API. Streams and hijacked connections (attach, exec) pass through as they are.
 */
import { createServer, type IncomingMessage } from 'node:http';
import { rm } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerOfOldEngine, pinPath, type ApiPin } from './engine-api-pin.ts';
import { forward, readAll, replyOnSocket, replyWith, tunnel, type Reply } from './forward.ts';
import type { Exchange, ProxyAction, RecordedRequest } from './exchange.ts';

export type { ProxyAction, RecordedRequest };

export interface ProxyRule {
  match: (request: RecordedRequest) => boolean;
  /** How often it applies; default: always. */
  times?: number;
  action: ProxyAction;
}

export type RequestFilter =
  Partial<Pick<RecordedRequest, 'method' | 'path'>> | ((request: RecordedRequest) => boolean);

export interface EngineProxy {
  /** In order of arrival. */
  readonly requests: readonly RecordedRequest[];
  count: (filter?: RequestFilter) => number;
  /** Removes requests, rules and delay, closes hanging connections, and imitates the same engine as at the start. */
  reset: () => Promise<void>;
  /** @param ms added to every request; 0 for none */
  delayEach: (ms: number) => void;
  /** Imitates an engine of this API version, e.g. `1.22`; undefined stops that. */
  pinApi: (version: string | undefined) => void;
  /** The first rule that matches a request is the only one that applies to it. @returns a function that removes it */
  addRule: (rule: ProxyRule) => () => void;
  clearRules: () => void;
  close: () => Promise<void>;
}

export interface ProxyOptions {
  /** Path of the socket to serve; replaced if it exists. */
  listen: string;
  /** Path of the engine's socket. */
  target: string;
  /** Imitates an engine of this API version from the start, and after every reset. */
  api?: string;
  /** The oldest API version that the engine takes; default: older than any that is imitated. */
  floor?: string;
}

export async function startEngineProxy({
  listen,
  target,
  api,
  floor = '1.12',
}: ProxyOptions): Promise<EngineProxy> {
  const requests: RecordedRequest[] = [];
  const rules = new Set<{ rule: ProxyRule; left: number }>();
  const hanging = new Set<Socket>();
  const open = new Set<Socket>();
  let delayMs = 0;
  const firstPin = api === undefined ? undefined : { version: api, floor };
  let pin: ApiPin | undefined = firstPin;

  const takeAction = (record: RecordedRequest): ProxyAction | undefined => {
    for (const entry of rules) {
      if (entry.left <= 0 || !entry.rule.match(record)) continue;
      entry.left -= 1;
      return entry.rule.action;
    }
    return undefined;
  };

  /** @returns what to forward; undefined if the request has been answered or cut */
  const admit = async (message: IncomingMessage, reply: Reply): Promise<Exchange | undefined> => {
    const record = recordRequest(message, requests.length + 1);
    requests.push(record);
    reply.onEnd(() => (record.endedAt ??= Date.now()));
    // A rule may read the body, so the body must be complete.
    if (isJsonPost(message)) record.body = parseJson((reply.payload = await readAll(message)).toString());
    const action = takeAction(record);
    if (delayMs > 0) await sleep(delayMs);
    if (action?.kind === 'delay') await sleep(action.ms);
    if (action?.kind === 'call' && action.when === 'before') await action.run(record);
    if (action?.kind === 'hang') hanging.add(message.socket);
    if (action?.kind === 'cut') message.socket.destroy();
    if (action?.kind === 'hang' || action?.kind === 'cut') return undefined;
    const answer = action?.kind === 'answer' ? action : pin && answerOfOldEngine(pin, record);
    if (answer) {
      record.status = answer.status;
      reply.answer(answer.status, answer.contentType ?? 'application/json', answer.body);
      return undefined;
    }
    return { record, action, pin, target: pin ? pinPath(pin, message.url ?? '/') : (message.url ?? '/') };
  };

  const server = createServer((message, response) => {
    const reply = replyWith(response);
    admit(message, reply)
      .then((exchange) => exchange && forward(target, exchange, message, response, reply.payload))
      .catch(() => message.socket.destroy());
  });
  server.on('upgrade', (message: IncomingMessage, socket: Socket, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    admit(message, replyOnSocket(socket))
      .then((exchange) => exchange && tunnel(target, exchange, message, socket, head))
      .catch(() => socket.destroy());
  });
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.on('close', () => {
      open.delete(socket);
      hanging.delete(socket);
    });
  });
  // The engine has none of these limits.
  server.requestTimeout = 0;
  server.headersTimeout = 0;
  server.keepAliveTimeout = 0;
  await rm(listen, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path: listen, readableAll: true, writableAll: true }, resolve);
  });

  return {
    requests,
    count: (filter) => requests.filter(toPredicate(filter)).length,
    reset: () => {
      requests.length = 0;
      rules.clear();
      delayMs = 0;
      pin = firstPin;
      for (const socket of hanging) socket.destroy();
      return Promise.resolve();
    },
    delayEach: (ms) => void (delayMs = ms),
    pinApi: (version) => void (pin = version === undefined ? undefined : { version, floor }),
    addRule: (rule) => {
      const entry = { rule, left: rule.times ?? Infinity };
      rules.add(entry);
      return () => void rules.delete(entry);
    },
    clearRules: () => rules.clear(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

function recordRequest(message: IncomingMessage, n: number): RecordedRequest {
  const url = new URL(message.url ?? '/', 'http://engine');
  const [, apiVersion, path] = /^(?:\/v(\d+\.\d+))?(\/.*)$/.exec(url.pathname) ?? [];
  return {
    n,
    method: message.method ?? '',
    path: path ?? url.pathname,
    ...(apiVersion === undefined ? {} : { apiVersion }),
    query: Object.fromEntries(url.searchParams),
    userAgent: message.headers['user-agent'] ?? '',
    at: Date.now(),
  };
}

function toPredicate(filter: RequestFilter = {}): (request: RecordedRequest) => boolean {
  if (typeof filter === 'function') return filter;
  return (it) =>
    (filter.method === undefined || it.method === filter.method) &&
    (filter.path === undefined || it.path === filter.path);
}

function isJsonPost({ method, headers }: IncomingMessage): boolean {
  return (
    method === 'POST' && headers['content-type']?.startsWith('application/json') === true && !headers.upgrade
  );
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
