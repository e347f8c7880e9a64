import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A small SOCKS 5 server (RFC 1928, 1929): CONNECT to names and IPv4 addresses. */
export interface SocksServer {
  readonly port: number;
  /** `host:port` of each connection that was asked for. */
  readonly targets: readonly string[];
  close(): Promise<void>;
}

/** @param login that a client must give; undefined: none */
export async function startSocksServer(login?: {
  readonly user: string;
  readonly password: string;
}): Promise<SocksServer> {
  const targets: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => socket.destroy());
    void serve(socket, login, targets).catch(() => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    targets,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

async function serve(
  socket: Socket,
  login: { readonly user: string; readonly password: string } | undefined,
  targets: string[],
): Promise<void> {
  const [version = 0, methods = 0] = await read(socket, 2);
  if (version !== 5) throw new Error('not SOCKS 5');
  const offered = await read(socket, methods);
  const method = login === undefined ? 0 : 2;
  if (!offered.includes(method)) return void socket.end(Buffer.from([5, 0xff]));
  socket.write(Buffer.from([5, method]));
  if (login !== undefined) {
    const [, nameLength = 0] = await read(socket, 2);
    const user = (await read(socket, nameLength)).toString();
    const [passwordLength = 0] = await read(socket, 1);
    const password = (await read(socket, passwordLength)).toString();
    const isRight = user === login.user && password === login.password;
    socket.write(Buffer.from([1, isRight ? 0 : 1]));
    if (!isRight) return void socket.end();
  }
  const [, command, , kind] = await read(socket, 4);
  if (command !== 1 || (kind !== 1 && kind !== 3)) throw new Error('not supported');
  const length = kind === 1 ? 4 : ((await read(socket, 1))[0] ?? 0);
  const address = await read(socket, length);
  const host = kind === 1 ? address.join('.') : address.toString();
  const port = (await read(socket, 2)).readUInt16BE();
  targets.push(`${host}:${port}`);
  const onward = connect(port, host === 'localhost' ? '127.0.0.1' : host);
  onward.once('error', () => socket.end(Buffer.from([5, 5, 0, 1, 0, 0, 0, 0, 0, 0])));
  onward.once('connect', () => {
    socket.write(Buffer.from([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
    socket.pipe(onward).pipe(socket);
  });
  socket.once('close', () => onward.destroy());
}

/** Exactly so many bytes. */
async function read(socket: Socket, length: number): Promise<Buffer> {
  if (length === 0) return Buffer.alloc(0);
  for (;;) {
    const chunk = socket.read(length) as Buffer | null;
    if (chunk !== null) return chunk;
    if (socket.readableEnded || socket.destroyed) throw new Error('the client went away');
    await new Promise<void>((resolve) => {
      socket.once('readable', () => resolve()).once('close', () => resolve());
    });
  }
}
