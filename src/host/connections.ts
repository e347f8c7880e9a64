import { readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { withDeadline } from '../support/deadline.ts';
import { systemCodeOf } from '../support/errors.ts';
import { readKernelLines, readKernelText } from './files/read.ts';

/** A process, and how much of it and its children is looked at. */
export interface ConnectionLook {
  /** Where the kernel shows processes. */
  readonly proc: string;
  /** The first process, as that folder names it. */
  readonly pid: number;
  /** Ports at which a connection to this machine itself counts, because the server or the proxy is here. */
  readonly localPorts: readonly number[];
  readonly deadlineMs: number;
  readonly maxProcesses: number;
  /** Open files, and threads, of one process. */
  readonly maxFiles: number;
}

/**
 * `open`: one of the processes holds a TCP connection that it has opened and that is established. `none`: all of them were seen,
 * and none of them does. `unseen`: something could not be looked at, so nothing is known.
 */
export type ConnectionSight = 'open' | 'none' | 'unseen';

/** Programs that scripts download with: their connections end with the download, and none of them is an agent's. */
const downloaders: readonly string[] = ['curl', 'wget'];

/**
 * Whether a process or one of its descendants holds a connection to another machine, whatever network namespace each of them is
 * in. Addresses are not compared: the server may have others now, or be behind a redirection. Never throws.
 */
export async function lookForConnection(look: ConnectionLook): Promise<ConnectionSight> {
  try {
    return await withDeadline('look for connections', look.deadlineMs, async (signal) =>
      search(look, signal),
    );
  } catch {
    return 'unseen';
  }
}

async function search(look: ConnectionLook, signal: AbortSignal): Promise<ConnectionSight> {
  const { proc, pid, maxProcesses } = look;
  const tables = new Map<string, ReadonlySet<string>>();
  const queue = [pid];
  for (let index = 0; index < queue.length; index += 1) {
    signal.throwIfAborted();
    const each = queue[index] ?? pid;
    if (await unlessGone(async () => holdsConnection(look, each, tables))) return 'open';
    const children = await unlessGone(async () => childrenOf(look, each));
    queue.push(...(children ?? []));
    if (queue.length > maxProcesses) return 'unseen';
  }
  // A kernel that does not list children shows nothing of them; and the first process may have exited.
  await readKernelText(join(proc, String(pid), 'task', String(pid), 'children'));
  return 'none';
}

/** @param tables the connections of each network namespace, as far as they were read */
async function holdsConnection(
  look: ConnectionLook,
  pid: number,
  tables: Map<string, ReadonlySet<string>>,
): Promise<boolean> {
  const folder = join(look.proc, String(pid));
  const sockets = await socketsOf(look, folder);
  if (sockets.length === 0) return false;
  const name = (await readKernelText(join(folder, 'comm'))).trim();
  if (downloaders.includes(name)) return false;
  const namespace = await readlink(join(folder, 'ns/net'));
  const table = tables.get(namespace) ?? (await readConnections(folder, look.localPorts));
  tables.set(namespace, table);
  return sockets.some((inode) => table.has(inode));
}

async function socketsOf({ maxFiles }: ConnectionLook, folder: string): Promise<readonly string[]> {
  const files = await readdir(join(folder, 'fd'));
  if (files.length > maxFiles) throw new Error('too many open files');
  const sockets: string[] = [];
  for (const file of files) {
    const target = (await unlessGone(async () => readlink(join(folder, 'fd', file)))) ?? '';
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) sockets.push(inode);
  }
  return sockets;
}

/** A program with threads starts its children from any of them. */
async function childrenOf({ proc, maxFiles }: ConnectionLook, pid: number): Promise<readonly number[]> {
  const folder = join(proc, String(pid), 'task');
  const threads = await readdir(folder);
  if (threads.length > maxFiles) throw new Error('too many threads');
  const children: number[] = [];
  for (const thread of threads) {
    const text = await unlessGone(async () => readKernelText(join(folder, thread, 'children')));
    children.push(...(text ?? '').split(' ').filter(Boolean).map(Number));
  }
  return children;
}

/** @returns inodes of the connections that processes of one network namespace have opened, to anywhere but this machine */
async function readConnections(folder: string, localPorts: readonly number[]): Promise<ReadonlySet<string>> {
  const tables = [new ConnectionTable(localPorts), new ConnectionTable(localPorts)] as const;
  await readKernelLines(join(folder, 'net/tcp'), (line) => tables[0].take(line));
  // Left out by a kernel without IPv6.
  await unlessGone(async () => readKernelLines(join(folder, 'net/tcp6'), (line) => tables[1].take(line)));
  return new Set(tables.flatMap((table) => table.opened()));
}

const established = '01';
const listening = '0A';

/**
 * Reads a table of `/proc/PID/net/tcp` or `tcp6`, line by line: a flood from the network, or a busy server, makes hundreds of
 * thousands of lines, and no more than two numbers are kept of each. Connections that others have opened to a port that is
 * listened at do not count, nor those to this machine itself, unless their port is one of `localPorts`.
 */
class ConnectionTable {
  readonly #localPorts: readonly number[];
  readonly #listened = new Set<number>();
  /** The local port of each connection, by its inode. */
  readonly #ports = new Map<number, number>();

  constructor(localPorts: readonly number[]) {
    this.#localPorts = localPorts;
  }

  take(line: string): void {
    const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
    if (state === listening) this.#listened.add(portOf(local));
    if (state !== established) return;
    if (isThisMachine(remote) && !this.#localPorts.includes(portOf(remote))) return;
    this.#ports.set(Number(inode), portOf(local));
  }

  /** The inodes of the established ones. */
  opened(): readonly string[] {
    const found = [...this.#ports].filter(([, port]) => !this.#listened.has(port));
    return found.map(([inode]) => String(inode));
  }
}

/** The same for a whole table. Pure. */
export function openedConnections(text: string, localPorts: readonly number[]): readonly string[] {
  const table = new ConnectionTable(localPorts);
  for (const line of text.split('\n')) table.take(line);
  return table.opened();
}

function portOf(address = ''): number {
  return Number.parseInt(address.split(':')[1] ?? '', 16);
}

/** The kernel shows addresses in words of 32 bits, each with its last byte first. */
function isThisMachine(address = ''): boolean {
  const [host = ''] = address.split(':');
  const mapped = host.startsWith('0000000000000000FFFF0000') ? host.slice(24) : host;
  return host === '00000000000000000000000001000000' || (mapped.length === 8 && mapped.endsWith('7F'));
}

/** @returns undefined where a process, a thread or an open file is gone by now */
async function unlessGone<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
