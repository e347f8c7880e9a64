import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** A real forward proxy (Debian's tinyproxy) that asks for a password. */
export interface ForwardProxy {
  /** With user and password. */
  readonly url: string;
  readonly address: string;
  readonly password: string;
  /** Everything it has logged. */
  readLog(): Promise<string>;
  /** `host:port` of each tunnel that was asked for, in order. */
  readTunnels(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const START_DEADLINE_MS = 10_000;

/** @param host address to listen on @param open asks for no password, and has none in its URL */
export async function startForwardProxy(host: string, { open = false } = {}): Promise<ForwardProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'forward-proxy-'));
  const logFile = join(folder, 'log');
  const password = 'c4nary0fth3proxy';
  const port = await findFreePort(host);
  const configuration = [
    `Listen ${host}`,
    `Port ${port}`,
    `LogFile "${logFile}"`,
    'LogLevel Connect',
    'MaxClients 50',
    ...(open ? [] : [`BasicAuth walter ${password}`]),
  ];
  const file = join(folder, 'tinyproxy.conf');
  await writeFile(file, `${configuration.join('\n')}\n`);
  const child = spawn('tinyproxy', ['-d', '-c', file], { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  child.once('error', () => undefined);
  const readLog = async (): Promise<string> => readFile(logFile, 'utf8').catch(() => '');
  await waitForPort(host, port);
  return {
    url: `http://${open ? '' : `walter:${password}@`}${host}:${port}`,
    address: `${host}:${port}`,
    password,
    readLog,
    readTunnels: async () =>
      [...(await readLog()).matchAll(/Request \(.*\): CONNECT (\S+) HTTP/g)].map(([, target = '']) => target),
    close: async () => {
      child.kill('SIGKILL');
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function findFreePort(host: string): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

async function waitForPort(host: string, port: number): Promise<void> {
  const end = Date.now() + START_DEADLINE_MS;
  while (!(await answers(host, port))) {
    if (Date.now() > end) throw new Error(`tinyproxy does not answer on ${host}:${port}`);
    await sleep(20);
  }
}

async function answers(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  const hasAnswered = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
  });
  socket.destroy();
  return hasAnswered;
}
