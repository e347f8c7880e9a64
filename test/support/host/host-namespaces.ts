/**
 * The part of a test host below the engine: process 1, the mount, network, pid, uts and ipc namespaces around it, the
 * link to the test process's network, and looks at the processes inside.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ensureEngineRoot } from './engine-root.ts';
import type { HostSlot } from './host-slot.ts';

const run = promisify(execFile);
const INIT_SCRIPT = join(import.meta.dirname, 'host-init');
/** A thread that is in the kernel stops only when it leaves the kernel. */
const STOP_DEADLINE_MS = 10_000;

export interface Namespaces {
  /** Process 1 of the host, as the test process sees it. */
  readonly initPid: number;
  /** SIGKILLs every process of the host, as a power cut would, and waits until all are gone. */
  kill: () => Promise<void>;
}

export interface HostProcess {
  /** As the test process sees it. */
  pid: number;
  command: string[];
}

/**
 * Boots process 1. It dies with this process, however this process ends, and everything in the host dies with it.
 *
 * @param disk file with an ext4 file system for /var/lib/docker
 */
export async function bootNamespaces(slot: HostSlot, name: string, disk?: string): Promise<Namespaces> {
  const init = [INIT_SCRIPT, slot.dir, name, slot.cgroup, (await ensureEngineRoot()) ?? '', disk ?? ''];
  const flags = ['--mount', '--net', '--pid', '--uts', '--ipc', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', ...flags, ...init], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
  });
  await waitUntilReady(child);
  const initPid = await findOnlyChild(child.pid ?? 0);
  await linkNetworks(slot.number, initPid);
  child.unref();
  return { initPid, kill: () => killInit(child, initPid) };
}

/** Addresses of the link between the test process (`gateway`) and the host (`address`). */
export function linkAddresses(slot: number): { gateway: string; address: string; bridge: string } {
  return { gateway: `10.213.${slot}.1`, address: `10.213.${slot}.2`, bridge: `10.214.${slot}.1/24` };
}

/** Arguments of `nsenter` that enter the host; its children are then orphans of the host's process 1. */
export function enterHost(initPid: number): string[] {
  return ['-t', String(initPid), '-m', '-n', '-p', '-u', '-i'];
}

/** The processes of the host itself, without those in containers that have a pid namespace of their own. */
export async function listHostProcesses(initPid: number): Promise<HostProcess[]> {
  const namespace = await readlink(`/proc/${initPid}/ns/pid`);
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const found = await Promise.all(pids.map((pid) => readProcess(Number(pid), namespace)));
  return found.filter((it) => it !== undefined);
}

async function readProcess(pid: number, namespace: string): Promise<HostProcess | undefined> {
  try {
    if ((await readlink(`/proc/${pid}/ns/pid`)) !== namespace) return undefined;
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0').slice(0, -1);
    return { pid, command };
  } catch {
    return undefined; // ended meanwhile
  }
}

async function waitUntilReady(child: ChildProcess): Promise<void> {
  if (!child.stdout || !child.stderr) throw new Error('the host was started without pipes');
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
  for await (const line of createInterface(child.stdout)) {
    if (line !== 'ready') continue;
    child.stdout.destroy();
    child.stderr.destroy();
    return;
  }
  throw new Error(`the test host did not come up: ${complaint.trim()}`);
}

async function findOnlyChild(parent: number): Promise<number> {
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
    // The name, in brackets, may hold blanks: state and parent follow the last bracket.
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent) return Number(entry);
  }
  throw new Error(`process ${parent} has no child`);
}

async function linkNetworks(slot: number, initPid: number): Promise<void> {
  const { gateway, address } = linkAddresses(slot);
  const script = `
    ip link del rah${slot} 2>/dev/null || true
    ip link add rah${slot} type veth peer name eth0 netns ${initPid}
    ip addr add ${gateway}/24 dev rah${slot}
    ip link set rah${slot} up
    nsenter -t ${initPid} -n sh -ec '
      ip addr add ${address}/24 dev eth0
      ip link set eth0 up
      ip route add default via ${gateway}'`;
  await run('sh', ['-ec', script]);
}

async function killInit(child: ChildProcess, initPid: number): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  // The kernel reaps process 1 of a pid namespace last, so when it has exited, all have.
  child.ref();
  const ended = once(child, 'exit');
  process.kill(initPid, 'SIGKILL');
  await ended;
}

/**
 * SIGSTOPs a process and waits until all its threads have stopped: on a busy machine a thread may run for some
 * milliseconds after the signal was sent, long enough to answer a request.
 */
export async function stopProcess(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const deadline = Date.now() + STOP_DEADLINE_MS;
  while (!(await areThreadsStopped(pid))) {
    if (Date.now() > deadline) throw new Error(`process ${pid} did not stop in ${STOP_DEADLINE_MS} ms`);
    await sleep(5);
  }
}

async function areThreadsStopped(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`);
  const states = await Promise.all(
    threads.map(async (thread) => {
      const line = await readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8').catch(() => '');
      return /\) (\S) /.exec(line)?.[1] ?? 'gone';
    }),
  );
  return states.every((state) => state === 'T' || state === 'gone');
}
