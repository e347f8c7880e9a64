import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { pinAnswer, pinHeaders, rewritesBody, withoutHeaders } from './engine-api-pin.ts';
import type { Exchange } from './exchange.ts';

/* How the proxy passes a request on to the engine, and the answer back. */

const OF_ONE_CONNECTION = /^(connection|keep-alive|transfer-encoding)$/i;

/** Answers plain requests and requests for an upgrade of the connection alike. */
export interface Reply {
  /** Request body, where it has been read already. */
  payload?: Buffer;
  answer: (status: number, contentType: string, body: unknown) => void;
  onEnd: (listener: () => void) => void;
}

export function replyWith(response: ServerResponse): Reply {
  return {
    answer: (status, contentType, body) => {
      response.writeHead(status, { 'content-type': contentType });
      response.end(toText(body));
    },
    onEnd: (listener) => void response.once('close', listener),
  };
}

export function replyOnSocket(socket: Socket): Reply {
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
export function forward(
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

export async function passBack(
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
export function tunnel(
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

export async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
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
