/** dockerd of a test host: start, freeze, kill. Its containerd is its own child, as on a host without systemd units. */
import { execFile } from 'node:child_process';
import { copyFile, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { callEngine } from './engine-call.ts';
import { enterHost, linkAddresses, listHostProcesses, type HostProcess } from './host-namespaces.ts';
import type { HostSlot } from './host-slot.ts';

const run = promisify(execFile);
const OCI_RUNTIME = join(import.meta.dirname, 'oci-runtime');
const START_DEADLINE_MS = 60_000;
/** Time from the fork until the process has the name dockerd. */
const EXEC_GRACE_MS = 1_000;
const END_DEADLINE_MS = 30_000;
const CAP_SYS_RESOURCE = 1n << 24n;

export interface EngineOptions {
  /** Containers keep running when dockerd exits. */
  liveRestore: boolean;
  /** Containers see nothing of their cgroup, as with cgroup v2; else the engine's default. */
  privateCgroups?: boolean;
  /** Containers have other user ids than the host (`userns-remap`). */
  userns?: boolean;
  /** dockerd has a mount namespace of its own, to which mounts of the host propagate (`MountFlags=slave`). */
  ownMounts?: boolean;
  /** Further settings of dockerd, as in daemon.json. */
  settings?: Readonly<Record<string, unknown>>;
}

/** Where the images and layers of an engine with `userns` are, below its data root. */
export const remappedRoot = '100000.100000';

/** Where dockerd listens, as the test process sees it; inside the host it is /run/engine.sock. */
export function engineSocketOf(slot: HostSlot): string {
  return join(slot.dir, 'run', 'engine.sock');
}

/** Starts dockerd in the host and waits until it answers. */
export async function launchEngine(slot: HostSlot, initPid: number, options: EngineOptions): Promise<void> {
  await prepareEngineFiles(slot, options);
  // A pid file that names another process would keep dockerd from starting.
  await rm(join(slot.dir, 'run', 'docker.pid'), { force: true });
  const flags = ['--host', 'unix:///run/engine.sock', '--bip', linkAddresses(slot.number).bridge];
  flags.push('--cgroup-parent', `/${slot.cgroup}/docker`, '--shutdown-timeout', '3');
  if (options.userns === true) await giveSubordinateIds(slot, initPid);
  const apart = options.ownMounts === true ? 'unshare --mount --propagation slave ' : '';
  const inside = `setsid ${apart}dockerd "$@" </dev/null >>"$LOG" 2>&1 &`;
  const joinCgroup = `for f in /sys/fs/cgroup/cpu/${slot.cgroup} /sys/fs/cgroup/cpuacct/${slot.cgroup} \
    /sys/fs/cgroup/${slot.cgroup}; do
    [ ! -e "$f/engine/cgroup.procs" ] || echo $$ >"$f/engine/cgroup.procs"; done`;
  await run(
    'sh',
    [
      '-c',
      `${joinCgroup}; exec nsenter "$@"`,
      'sh',
      ...enterHost(initPid),
      'sh',
      '-c',
      inside,
      'sh',
      ...flags,
    ],
    {
      env: { PATH: `${slot.dir}/bin:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: '/root', LOG: engineLogOf(slot) },
    },
  );
  await waitForEngine(slot, initPid);
}

/** dockerd's process as the test process sees it, or undefined if it is not running. */
export async function findEngine(initPid: number): Promise<HostProcess | undefined> {
  const processes = await listHostProcesses(initPid);
  return processes.find((it) => it.command[0] === 'dockerd');
}

/** The process that holds a container's processes. @param containerId in full */
export async function findShim(initPid: number, containerId: string): Promise<HostProcess | undefined> {
  const processes = await listHostProcesses(initPid);
  return processes.find(
    ({ command }) => command[0]?.includes('containerd-shim') === true && command.includes(containerId),
  );
}

/** Sends dockerd a signal and waits until it is gone. */
export async function endEngine(initPid: number, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  const engine = await findEngine(initPid);
  if (!engine) return;
  process.kill(engine.pid, signal);
  const deadline = Date.now() + END_DEADLINE_MS;
  while (await findEngine(initPid)) {
    if (Date.now() > deadline)
      throw new Error(`dockerd is still there ${END_DEADLINE_MS} ms after ${signal}`);
    await sleep(20);
  }
}

/** The log of dockerd, of all its starts. */
export function engineLogOf(slot: HostSlot): string {
  return join(slot.dir, 'engine.log');
}

async function prepareEngineFiles(slot: HostSlot, options: EngineOptions): Promise<void> {
  // A registry of a test speaks plain http.
  const registries = [`${linkAddresses(slot.number).gateway}/32`];
  const settings = {
    ...{ 'live-restore': options.liveRestore, 'insecure-registries': registries },
    ...(options.privateCgroups === true ? { 'default-cgroupns-mode': 'private' } : {}),
    ...(options.userns === true ? { 'userns-remap': 'nobody:nogroup' } : {}),
    ...options.settings,
  };
  await writeFile(join(slot.dir, 'etc-docker', 'daemon.json'), JSON.stringify(settings));
  if (await mayUseAllCapabilities()) return;
  // The first `runc` on the PATH of dockerd: containers still show the default runtime.
  await mkdir(join(slot.dir, 'bin'), { recursive: true });
  // Copied: a host with another machine's root sees /tmp and nothing else of this one.
  await copyFile(OCI_RUNTIME, join(slot.dir, 'bin', 'runc'));
  if (options.privateCgroups === true) await writeFile(join(slot.dir, 'bin', 'hide-cgroups'), '');
}

/** The ids of `remappedRoot`. */
async function giveSubordinateIds(slot: HostSlot, initPid: number): Promise<void> {
  const ids = join(slot.dir, 'subordinate-ids');
  await writeFile(ids, 'nobody:100000:65536\nnogroup:100000:65536\n');
  for (const file of ['/etc/subuid', '/etc/subgid'])
    await run('nsenter', [...enterHost(initPid), 'mount', '--bind', ids, file]);
}

async function mayUseAllCapabilities(): Promise<boolean> {
  const status = await readFile('/proc/self/status', 'utf8');
  const bounding = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return (bounding & CAP_SYS_RESOURCE) !== 0n;
}

async function waitForEngine(slot: HostSlot, initPid: number): Promise<void> {
  const started = Date.now();
  for (;;) {
    const answer = await callEngine(engineSocketOf(slot), 'GET', '/_ping', { timeoutMs: 5_000 }).catch(
      () => undefined,
    );
    if (answer?.status === 200) return;
    const waited = Date.now() - started;
    const ended = waited > EXEC_GRACE_MS && (await findEngine(initPid)) === undefined;
    if (ended || waited > START_DEADLINE_MS)
      throw new Error(`dockerd did not start:\n${await readEnd(engineLogOf(slot))}`);
    await sleep(20);
  }
}

async function readEnd(file: string): Promise<string> {
  const handle = await open(file).catch(() => undefined);
  if (!handle) return '(no log)';
  try {
    return (await handle.readFile('utf8')).split('\n').slice(-20).join('\n');
  } finally {
    await handle.close();
  }
}
