/**
 * The server's side of an agent's websocket (`GET /v1/subscribe`, control-plane §6.2): the handshake, a keep-alive every 5 s,
 * and the close. It is a real websocket (RFC 6455): a client that answers no control ping is cut off.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

const keepAliveMs = 5_000;
/** Control pings that a client may leave without an answer. */
const missedPings = 3;
/** After a close frame the client has this long to answer it. */
const closeMs = 1_000;
/** A client's frame that is longer is a fault of the client. */
const longestFrame = 65_535;

const opcodes = { text: 0x1, close: 0x8, ping: 0x9, pong: 0xa } as const;

export interface AgentConnection {
  /** Milliseconds since 1970. */
  readonly openedAt: number;
  /** Undefined while it is open. */
  readonly closedAt: number | undefined;
  /** Control pings that the client answered. */
  readonly pongs: number;
  /** Text frames of the client. */
  readonly received: readonly string[];
}

/** All websockets of agents that the stub has had. */
export interface AgentConnections {
  readonly all: readonly AgentConnection[];
  open(): readonly AgentConnection[];
  /** Sends a message to all that are open, as the server sends its events. */
  send(message: Readonly<Record<string, unknown>>): void;
  /** Closes all that are open with a close frame, as a server that shuts down. */
  close(): void;
}

interface Connection extends AgentConnection {
  closedAt: number | undefined;
  pongs: number;
  readonly received: string[];
  readonly end: () => void;
  readonly send: (text: string) => void;
}

/** A list of connections, to which `accept` adds. */
export class StubWebsockets implements AgentConnections {
  readonly #connections: Connection[] = [];

  get all(): readonly AgentConnection[] {
    return this.#connections;
  }

  open(): readonly AgentConnection[] {
    return this.#open();
  }

  send(message: Readonly<Record<string, unknown>>): void {
    for (const { send } of this.#open()) send(JSON.stringify(message));
  }

  close(): void {
    for (const { end } of this.#open()) end();
  }

  /** Answers the handshake of a client that is let in. @param lifeMs closed after so long; undefined: never */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer, lifeMs: number | undefined): void {
    const key = request.headers['sec-websocket-key'];
    if (key === undefined || request.headers.upgrade?.toLowerCase() !== 'websocket') {
      socket.end('HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n' +
        `sec-websocket-accept: ${acceptKey(key)}\r\n\r\n`,
    );
    this.#connections.push(serve(socket, head, lifeMs));
  }

  #open(): readonly Connection[] {
    return this.#connections.filter(({ closedAt }) => closedAt === undefined);
  }
}

/** RFC 6455, 4.2.2. */
function acceptKey(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

function serve(socket: Duplex, head: Buffer, lifeMs: number | undefined): Connection {
  const write = (opcode: number, payload: string | Buffer): void => {
    if (socket.writable) socket.write(encodeFrame(opcode, Buffer.from(payload)));
  };
  let unanswered = 0;
  const end = (): void => {
    write(opcodes.close, Buffer.from([0x03, 0xe9]));
    setTimeout(() => socket.destroy(), closeMs).unref();
  };
  const connection: Connection = {
    openedAt: Date.now(),
    closedAt: undefined,
    pongs: 0,
    received: [],
    end,
    send: (text) => write(opcodes.text, text),
  };
  const keepAlive = setInterval(() => {
    if (unanswered >= missedPings) socket.destroy();
    unanswered += 1;
    write(opcodes.text, JSON.stringify({ id: crypto.randomUUID(), name: 'ping', time: Date.now() }));
    write(opcodes.ping, String(unanswered));
  }, keepAliveMs);
  const life = lifeMs === undefined ? undefined : setTimeout(end, lifeMs);
  let rest = head;
  socket.on('data', (chunk: Buffer) => {
    rest = Buffer.concat([rest, chunk]);
    for (let frame = decodeFrame(rest); frame !== undefined; frame = decodeFrame(rest)) {
      rest = rest.subarray(frame.size);
      if (frame.opcode === opcodes.text) connection.received.push(frame.payload.toString());
      if (frame.opcode === opcodes.close) socket.end();
      if (frame.opcode === opcodes.ping) write(opcodes.pong, frame.payload);
      if (frame.opcode !== opcodes.pong) continue;
      connection.pongs += 1;
      unanswered = 0;
    }
    if (rest.length > longestFrame) socket.destroy();
  });
  socket.on('end', () => socket.end());
  socket.on('error', () => undefined);
  socket.on('close', () => {
    connection.closedAt ??= Date.now();
    clearInterval(keepAlive);
    clearTimeout(life);
  });
  return connection;
}

/** One unmasked frame, as a server sends it. */
function encodeFrame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  if (length > longestFrame) throw new Error(`a frame of ${length} bytes is longer than the stub can send`);
  const size = length < 126 ? [length] : [126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), payload]);
}

interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  /** Bytes that the whole frame takes. */
  readonly size: number;
}

/** The first frame of a client, which masks it (RFC 6455, 5.3); undefined while it is not whole. */
function decodeFrame(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  const short = bytes.readUInt8(1) & 0x7f;
  const start = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (bytes.length < start) return undefined;
  const length =
    short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
  const isMasked = (bytes.readUInt8(1) & 0x80) !== 0;
  const from = start + (isMasked ? 4 : 0);
  if (bytes.length < from + length) return undefined;
  const mask = isMasked ? bytes.subarray(start, from) : Buffer.alloc(4);
  const payload = Buffer.from(
    bytes.subarray(from, from + length).map((byte, at) => byte ^ (mask[at % 4] ?? 0)),
  );
  return { opcode: bytes.readUInt8(0) & 0x0f, payload, size: from + length };
}
