import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { imageNodeFlags } from '../../support/run/image-flags.ts';
import { lookForConnection, openedConnections, type ConnectionSight } from '../../../src/host/connections.ts';

let server: Server;
let port: number;
const children: ChildProcess[] = [];

beforeEach(async () => {
  server = createServer((socket) => socket.on('error', () => undefined));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(() => {
  for (const child of children.splice(0)) {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // It has exited.
    }
  }
  server.close();
});

/** Runs a script in bash until it says that it is ready. @returns its process id */
async function begin(script: string): Promise<number> {
  const child = spawn('bash', ['-c', script, 'script', String(port)], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

async function look(pid: number, changes: Partial<Parameters<typeof lookForConnection>[0]> = {}) {
  const usual = { proc: '/proc', deadlineMs: 10_000, maxProcesses: 50, maxFiles: 500 };
  return lookForConnection({ ...usual, pid, localPorts: [port], ...changes });
}

const connect = 'exec 9<>/dev/tcp/127.0.0.1/$1';
const toldReady = 'echo ready';

describe('a process tree', () => {
  it.each<[string, ConnectionSight, string]>([
    ['that waits and has none', 'none', `${toldReady}; exec sleep 60`],
    ['that holds one itself', 'open', `${connect}; ${toldReady}; exec sleep 60`],
    ['whose child holds one', 'open', `(${connect}; ${toldReady}; exec sleep 60); :`],
    ['whose grandchild holds one', 'open', `(: ; (${connect}; ${toldReady}; exec sleep 60); :); :`],
    ['that has closed its one', 'none', `${connect}; exec 9>&-; ${toldReady}; exec sleep 60`],
    [
      'whose download waits for a silent server for ever',
      'none',
      `(sleep 0.5; ${toldReady}) & curl -s http://127.0.0.1:$1/; :`,
    ],
  ])('%s: %s', async (_what, sight, script) => {
    const pid = await begin(script);
    expect(await look(pid)).toBe(sight);
  });

  it('with a connection to this machine itself has none, unless the server or its proxy is there', async () => {
    const pid = await begin(`${connect}; ${toldReady}; exec sleep 60`);
    expect(await look(pid, { localPorts: [] })).toBe('none');
  });

  it.each([
    ['more processes than are looked at', { maxProcesses: 1 }],
    ['more open files than are looked at', { maxFiles: 1 }],
    ['no time', { deadlineMs: 0 }],
    ['no folder of the kernel', { proc: '/nowhere' }],
  ])('with %s is not judged', async (_what, changes) => {
    const pid = await begin(`(${toldReady}; sleep 60; :) & (sleep 60; :) & wait`);
    expect(await look(pid, changes)).toBe('unseen');
  });

  it('that is gone is not judged', async () => {
    const pid = await begin(`${toldReady}; exec true`);
    await once(children[0] ?? server, 'exit');
    expect(await look(pid)).toBe('unseen');
  });
});

describe('a table of the kernel', () => {
  const header =
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
  const row = (local: string, remote: string, state: string, inode: number): string =>
    `   0: ${local} ${remote} ${state} 00000000:00000000 00:00000000 00000000     0        0 ${inode} 1 0000 20 4 30 10 -1`;
  const own = '0200000A:D431';
  const other = '0100000A:1F90';

  it.each([
    ['established', row(own, other, '01', 7), ['7']],
    ['established, of IPv6', row(`${'0'.repeat(32)}:D431`, `B80D0120${'0'.repeat(24)}:01BB`, '01', 7), ['7']],
    ['that the other side has closed', row(own, other, '08', 7), []],
    ['that is not answered', row(own, other, '02', 7), []],
    ['to this machine', row(own, '0100007F:1F90', '01', 7), []],
    ['to the proxy on this machine', row(own, '0100007F:0C38', '01', 7), ['7']],
    ['to this machine, of IPv6', row(own, '00000000000000000000000001000000:1F90', '01', 7), []],
    ['to this machine, in IPv6', row(own, '0000000000000000FFFF00000100007F:1F90', '01', 7), []],
    [
      'that another machine has opened',
      `${row('00000000:2481', '00000000:0000', '0A', 6)}\n${row('0200000A:2481', other, '01', 7)}`,
      [],
    ],
    ['in a line that is cut off', '   0: 0200000A:D431 01', []],
  ])('has a connection %s', (_what, rows, inodes) => {
    expect(openedConnections(`${header}\n${rows}\n`, [0x0c38])).toEqual(inodes);
  });

  it.each([
    ['none', 0],
    ['open', 230_007],
  ])(
    'of 230,000 connections of a busy host leaves the heap of an agent: %s',
    { timeout: 60_000 },
    async (sight, inode) => {
      const proc = await mkdtemp(join(tmpdir(), 'proc-'));
      onTestFinished(() => rm(proc, { recursive: true, force: true }));
      for (const folder of ['fd', 'ns', 'net', 'task/1'])
        await mkdir(join(proc, '1', folder), { recursive: true });
      await symlink(`socket:[${inode}]`, join(proc, '1/fd/3'));
      await symlink('net:[1]', join(proc, '1/ns/net'));
      await writeFile(join(proc, '1/comm'), 'agent\n');
      await writeFile(join(proc, '1/task/1/children'), '');
      await writeFile(join(proc, '1/net/tcp6'), `${header}\n`);
      const rows = Array.from({ length: 230_000 }, (_, index) => row(own, other, '01', 8 + index));
      await writeFile(join(proc, '1/net/tcp'), `${header}\n${rows.join('\n')}\n`);
      const reader = join(import.meta.dirname, 'connections-reader.ts');
      const { stdout } = await promisify(execFile)(process.execPath, [...imageNodeFlags(), reader, proc]);
      expect(stdout).toBe(sight);
    },
  );
});
