/**
 * An HTTP proxy between two unix sockets, in front of a test host's engine: records every request, delays, answers itself,
 * cuts connections, loses answers, calls back at the n-th request, and imitates engines that speak an older API.
 * Streams and hijacked connections (attach, exec) pass through as they are.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import { rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  answerOfOldEngine,
  pinAnswer,
  pinHeaders,
  pinPath,
  rewritesBody,
  withoutHeaders,
  type ApiPin,
} from './engine-api-pin.ts';

const OF_ONE_CONNECTION = /^(connection|keep-alive|transfer-encoding)$/i;

export interface RecordedRequest {
  /** 1 for the first request since the last reset. */
  n: number;
  method: string;
  /** Without the version prefix and the query. */
  path: string;
  /** The version prefix, e.g. `1.41`, if the client sent one. */
  apiVersion?: string;
  query: Record<string, string>;
  userAgent: string;
  /** Wall clock, ms. */
  at: number;
  /** As the engine, or a rule, answered; missing while there is no answer. */
  status?: number;
  /** JSON body of a POST. */
  body?: unknown;
  /** Wall clock, ms; when the answer was complete or the connection gone. */
  endedAt?: number;
}

export type ProxyAction =
  /** Forwards after `ms`. */
  | { kind: 'delay'; ms: number }
  /** Answers itself; the engine never sees the request. */
  | { kind: 'answer'; status: number; body?: unknown; contentType?: string }
  /** Never answers; the engine never sees the request. */
  | { kind: 'hang' }
  /** Destroys the connection; the engine never sees the request. */
  | { kind: 'cut' }
  /** Forwards, passes status and headers back, then destroys the connection. */
  | { kind: 'cut-after-headers' }
  /** Forwards; the engine does it, but its answer is lost and the connection destroyed. */
  | { kind: 'lose-answer' }
  /** Runs something before the request is forwarded, or after the engine's status came and before it is passed back. */
  | { kind: 'call'; when: 'before' | 'after'; run: (request: RecordedRequest) => Promise<void> | void };

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
  /** Forgets requests, rules and delay, lets go of connections that hang, and imitates what it did from the start. */
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

/** Forwarding state of one request. */
interface Exchange {
  record: RecordedRequest;
  action: ProxyAction | undefined;
  pin: ApiPin | undefined;
  /** Path and query for the engine. */
  target: string;
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

  /** @returns what to forward, or undefined if the request has been dealt with */
  const admit = async (message: IncomingMessage, reply: Reply): Promise<Exchange | undefined> => {
    const record = recordRequest(message, requests.length + 1);
    requests.push(record);
    reply.onEnd(() => (record.endedAt ??= Date.now()));
    // A rule may look at the body, so it has to be complete first.
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

/** One way to answer for plain requests and for those that ask for an upgrade. */
interface Reply {
  /** Request body, where it has been read already. */
  payload?: Buffer;
  answer: (status: number, contentType: string, body: unknown) => void;
  onEnd: (listener: () => void) => void;
}

function replyWith(response: ServerResponse): Reply {
  return {
    answer: (status, contentType, body) => {
      response.writeHead(status, { 'content-type': contentType });
      response.end(toText(body));
    },
    onEnd: (listener) => void response.once('close', listener),
  };
}

function replyOnSocket(socket: Socket): Reply {
  return {
    answer: (status, contentType, body) => {
      const text = toText(body);
      const head = `HTTP/1.1 ${status} Answer\r\nContent-Type: ${contentType}\r\nConnection: close\r\n`;
      socket.end(`${head}Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    },
    onEnd: (listener) => void socket.once('close', listener),
  };
}

/** Passes one request on, and its answer back as it comes. */
function forward(
  socketPath: string,
  exchange: Exchange,
  message: IncomingMessage,
  response: ServerResponse,
  payload: Buffer | undefined,
): void {
  const { record, target: path } = exchange;
  const headers = withoutHeaders(message.rawHeaders, OF_ONE_CONNECTION);
  const upstream = request({
    socketPath,
    method: record.method,
    path,
    headers,
    agent: false,
    setHost: false,
  });
  upstream.on('response', (answer) => {
    passBack(exchange, answer, response).catch(() => message.socket.destroy());
  });
  upstream.on('error', () => message.socket.destroy());
  response.on('close', () => upstream.destroy());
  if (payload) upstream.end(payload);
  else message.pipe(upstream);
}

async function passBack(
  { record, action, pin }: Exchange,
  answer: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  record.status = answer.statusCode ?? 0;
  answer.on('error', () => response.destroy());
  if (action?.kind === 'call' && action.when === 'after') await action.run(record);
  if (action?.kind === 'lose-answer') {
    response.destroy();
    return;
  }
  const headers = withoutHeaders(answer.rawHeaders, OF_ONE_CONNECTION);
  if (pin && rewritesBody(record, record.status)) {
    const { status } = record;
    const pinned = pinAnswer(pin, record, { status, headers, body: await readAll(answer) });
    record.status = pinned.status;
    const cut = action?.kind === 'cut-after-headers';
    response.writeHead(pinned.status, pinned.headers);
    if (cut) response.flushHeaders();
    if (cut) response.socket?.destroySoon();
    else response.end(pinned.body);
    return;
  }
  response.writeHead(record.status, answer.statusMessage, pin ? pinHeaders(headers) : headers);
  response.flushHeaders();
  if (action?.kind === 'cut-after-headers') response.socket?.destroySoon();
  else answer.pipe(response);
}

/** Joins two connections byte by byte, each direction closed on its own, as hijacked ones are. */
function tunnel(
  socketPath: string,
  exchange: Exchange,
  message: IncomingMessage,
  client: Socket,
  head: Buffer,
): void {
  const { record, action } = exchange;
  const engine = connect({ path: socketPath, allowHalfOpen: true });
  const destroyBoth = () => {
    client.destroy();
    engine.destroy();
  };
  engine.on('error', destroyBoth);
  client.on('close', () => engine.destroy());
  engine.on('close', () => client.destroySoon());
  engine.write(
    `${record.method} ${exchange.target} HTTP/1.1\r\n${formatHeaders(message.rawHeaders)}\r\n\r\n`,
  );
  if (head.length > 0) engine.write(head);
  client.pipe(engine);
  engine.once('data', (first: Buffer) => {
    engine.pause();
    record.status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first.toString('latin1'))?.[1] ?? 0);
    const passOn = async () => {
      if (action?.kind === 'call' && action.when === 'after') await action.run(record);
      if (action?.kind === 'lose-answer') {
        destroyBoth();
        return;
      }
      client.write(first, () => action?.kind === 'cut-after-headers' && destroyBoth());
      if (action?.kind !== 'cut-after-headers') engine.pipe(client);
    };
    passOn().catch(destroyBoth);
  });
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

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function toText(body: unknown): string {
  if (body === undefined) return '';
  return typeof body === 'string' ? body : JSON.stringify(body);
}

function formatHeaders(raw: readonly string[]): string {
  const lines: string[] = [];
  for (let i = 0; i < raw.length; i += 2) lines.push(`${raw[i]}: ${raw[i + 1]}`);
  return lines.join('\r\n');
}
