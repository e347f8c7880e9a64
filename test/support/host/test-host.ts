/**
 * A *host* for tests: a private, real Docker engine in its own mount, network and pid namespaces, so that /proc/1/root,
 * `--pid host` and /var/lib/rancher are that host's own. Several live side by side on one machine.
 *
 * Invariants: nothing outside the host's folder under /tmp/rah is written; every process of the host dies with the test
 * process, however that ends; what a dead test process left on disk is removed by the next start.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ContainerInspectInfo } from 'dockerode';
import { callEngine } from './engine-call.ts';
import { startEngineProxy, type EngineProxy } from '../engine-proxy/engine-proxy.ts';
import { copyTemplate, fillDisk, fillInodes, freeDisk, makeDisk, type SmallDisk } from './host-disk.ts';
import { readCpuSeconds, type CpuSeconds } from './host-cpu.ts';
import { pinnedApi } from './engine-root.ts';
import {
  endEngine,
  engineLogOf,
  engineSocketOf,
  findEngine,
  findShim,
  launchEngine,
  remappedRoot,
} from './host-engine.ts';
import {
  bootNamespaces,
  enterHost,
  linkAddresses,
  listHostProcesses,
  stopProcess,
  type Namespaces,
} from './host-namespaces.ts';
import {
  emptyFolder,
  readImageTags,
  removeAllContainers,
  removeVolumesAndNetworks,
  restoreImages,
  withoutGhosts,
  type ImageTags,
} from './host-reset.ts';
import { claimSlot, removeCgroups, removeFolder, sweepDeadHosts, type HostSlot } from './host-slot.ts';
import { throttleHost } from './host-throttle.ts';

const run = promisify(execFile);
const DOCKER = '/usr/bin/docker';
const DOCKER_DEADLINE_MS = 120_000;
/** Inside a container's upper directory. */
const UNREMOVABLE_FILE = 'unremovable';

export interface HostOptions {
  /** Host name; at most 20 letters, digits and dashes. */
  name?: string;
  /** /var/lib/docker on a small file system of its own. */
  smallDisk?: SmallDisk;
  /** Containers keep running when dockerd exits. */
  liveRestore?: boolean;
  /** Containers see nothing of their cgroup, as with cgroup v2. */
  privateCgroups?: boolean;
  /** Containers have other user ids than the host (`userns-remap`). */
  userns?: boolean;
  /** dockerd has a mount namespace of its own, as with `MountFlags=slave`. */
  ownMounts?: boolean;
  /** Further settings of dockerd, as in daemon.json. */
  settings?: Readonly<Record<string, unknown>>;
  /** Containers see an engine of this API version, e.g. `1.22`; default: what `TEST_API` says. */
  api?: string;
}

export interface ContainerSummary {
  id: string;
  name: string;
  image: string;
  /** created, running, restarting, removing, paused, exited or dead */
  state: string;
  status: string;
  labels: Record<string, string>;
  command: string;
}

export interface CommandResult {
  status: number;
  stdout: string;
  stderr: string;
}

/**
 * Starts a host with a running engine; `startHost` in host.ts is the one for tests.
 *
 * @param template folder with the images' part of a data root; without it the engine has no images
 */
export async function startBareHost(options: HostOptions, template: string | undefined): Promise<TestHost> {
  await sweepDeadHosts();
  const slot = await claimSlot();
  const host = new TestHost(slot, options, template);
  try {
    await host.boot();
    return host;
  } catch (error) {
    await host.stop();
    throw error;
  }
}

export class TestHost {
  readonly name: string;
  readonly dir: string;
  /** What containers mount as /var/run/docker.sock: the engine behind the proxy. */
  readonly socketPath: string;
  /** The engine itself. */
  readonly engineSocketPath: string;
  /** The host, seen from the test process. */
  readonly address: string;
  /** The test process, seen from the host and from its containers. */
  readonly gateway: string;
  /** What the host sees as /var/lib/rancher. */
  readonly stateDir: string;
  readonly #slot: HostSlot;
  #options: HostOptions;
  readonly #template: string | undefined;
  #namespaces: Namespaces | undefined;
  #proxy: EngineProxy | undefined;
  #tags: ImageTags = new Map();

  constructor(slot: HostSlot, options: HostOptions, template: string | undefined) {
    this.#slot = slot;
    this.#options = options;
    this.#template = template;
    this.name = options.name ?? `host-${slot.number}`;
    this.dir = slot.dir;
    this.socketPath = join(slot.dir, 'run', 'docker.sock');
    this.engineSocketPath = engineSocketOf(slot);
    this.stateDir = join(slot.dir, 'lib', 'rancher');
    ({ address: this.address, gateway: this.gateway } = linkAddresses(slot.number));
  }

  /** Process 1 of the host, as the test process sees it. Changes with a reboot. */
  get initPid(): number {
    return this.#running.initPid;
  }

  /** The host's /var/lib/docker, as the test process sees it. */
  get dockerRoot(): string {
    if (this.#options.smallDisk) return this.pathInHost('/var/lib/docker');
    return join(this.dir, 'lib', 'docker', ...(this.#options.userns === true ? [remappedRoot] : []));
  }

  get proxy(): EngineProxy {
    if (!this.#proxy) throw new Error(`the host ${this.name} is not running`);
    return this.#proxy;
  }

  /** What the host sees as `path`, as a path for the test process. */
  pathInHost(path: string): string {
    return join(`/proc/${this.initPid}/root`, path);
  }

  /** @internal Called once by `startHost`. */
  async boot(): Promise<void> {
    await makeFolders(this.dir);
    const disk = this.#options.smallDisk;
    if (disk) await makeDisk(this.#diskFile(), this.#template, disk);
    this.#namespaces = await this.#bootNamespaces();
    if (this.#template !== undefined) await copyTemplate(this.#template, this.dockerRoot);
    await this.startEngine();
    const api = this.#options.api ?? pinnedApi();
    this.#proxy = await startEngineProxy({
      listen: this.socketPath,
      target: this.engineSocketPath,
      floor: await this.#oldestApi(),
      ...(api === undefined ? {} : { api }),
    });
    this.#tags = await readImageTags(this.engineSocketPath);
  }

  /** Runs the Docker client against the engine itself. @returns its output, trimmed @throws with its error output */
  async docker(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.tryDocker(...args);
    if (status !== 0) throw new Error(`docker ${args.join(' ')}: status ${status}: ${stderr.trim()}`);
    return stdout.trim();
  }

  /** The same without an error for another exit status than 0; status 124 after two minutes. */
  tryDocker(...args: string[]): Promise<CommandResult> {
    return this.#runDocker(this.engineSocketPath, args);
  }

  /** The same through the proxy, as a container on this host would. */
  tryProxiedDocker(...args: string[]): Promise<CommandResult> {
    return this.#runDocker(this.socketPath, args);
  }

  /** The same through any socket on this host. */
  tryDockerAt(socketPath: string, ...args: string[]): Promise<CommandResult> {
    return this.#runDocker(socketPath, args);
  }

  #runDocker(socketPath: string, args: string[]): Promise<CommandResult> {
    const options = {
      env: this.#clientEnvironment(socketPath),
      maxBuffer: 64 * 1024 * 1024,
      timeout: DOCKER_DEADLINE_MS,
    };
    return new Promise((resolve) => {
      const child = execFile(DOCKER, args, options, (error, stdout, stderr) => {
        resolve({ status: error ? (child.exitCode ?? 124) : 0, stdout, stderr });
      });
      child.stdin?.end();
    });
  }

  /** Starts the Docker client against the engine itself, for tests that watch or kill it. */
  spawnDocker(...args: string[]): ChildProcess {
    return this.#spawnDocker(this.engineSocketPath, args);
  }

  /** The same through the proxy. */
  spawnProxiedDocker(...args: string[]): ChildProcess {
    return this.#spawnDocker(this.socketPath, args);
  }

  #spawnDocker(socketPath: string, args: string[]): ChildProcess {
    return spawn(DOCKER, args, { env: this.#clientEnvironment(socketPath), stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** @returns undefined if the engine knows no such container */
  async inspect(nameOrId: string): Promise<ContainerInspectInfo | undefined> {
    const answer = await callEngine(this.engineSocketPath, 'GET', `/containers/${nameOrId}/json`);
    if (answer.status === 404) return undefined;
    if (answer.status !== 200)
      throw new Error(`inspect ${nameOrId}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body as ContainerInspectInfo;
  }

  /** All containers, newest first, without ghosts. */
  async containers(): Promise<ContainerSummary[]> {
    const { body } = await callEngine(this.engineSocketPath, 'GET', '/containers/json?all=1');
    const listed = await withoutGhosts(this.engineSocketPath, body as EngineContainer[]);
    return listed.map((it) => ({
      id: it.Id,
      name: (it.Names?.[0] ?? '').replace(/^\//, ''),
      image: it.Image,
      state: it.State,
      status: it.Status,
      labels: it.Labels,
      command: it.Command,
    }));
  }

  /** The last warnings and errors in the log of dockerd. */
  async engineComplaints(): Promise<readonly string[]> {
    const lines = (await readFile(engineLogOf(this.#slot), 'utf8')).split('\n');
    return lines.filter((line) => /level=(warning|error)/.test(line)).slice(-15);
  }

  /**
   * Adds a name to /etc/hosts of the host, of which containers in its network get a copy. Lasts until the next boot.
   */
  async knowName(name: string, address: string): Promise<void> {
    const file = join(this.dir, 'hosts');
    await writeFile(file, `127.0.0.1 localhost\n${address} ${name}\n`);
    await run('nsenter', [...enterHost(this.initPid), 'mount', '--bind', file, '/etc/hosts']);
  }

  /** Gives the host an /etc/machine-id of its own: a root that debootstrap made has none. Lasts until the next boot. */
  async knowMachine(id: string): Promise<void> {
    const file = join(this.dir, 'machine-id');
    await writeFile(file, `${id}\n`);
    const mount = 'touch /etc/machine-id && mount --bind "$1" /etc/machine-id';
    await run('nsenter', [...enterHost(this.initPid), 'sh', '-euc', mount, 'sh', file]);
  }

  /** SIGSTOPs dockerd: connections succeed, nothing answers. */
  async freezeEngine(): Promise<void> {
    await stopProcess(await this.#enginePid());
  }

  async thawEngine(): Promise<void> {
    process.kill(await this.#enginePid(), 'SIGCONT');
  }

  /** SIGKILLs dockerd; containers go on. */
  async killEngine(): Promise<void> {
    await endEngine(this.initPid, 'SIGKILL');
  }

  /** Stops dockerd as a service manager does. */
  async stopEngine(): Promise<void> {
    await endEngine(this.initPid, 'SIGTERM');
  }

  /** Starts dockerd on the same data and waits until it answers. */
  async startEngine(): Promise<void> {
    await launchEngine(this.#slot, this.initPid, { liveRestore: false, ...this.#options });
  }

  /** Restarts dockerd with other settings, as in daemon.json; none: as the host was made. */
  async restartEngine(settings: Readonly<Record<string, unknown>> = {}): Promise<void> {
    await this.stopEngine();
    this.#options = { ...this.#options, settings };
    await this.startEngine();
  }

  /** Power cut: SIGKILLs every process of the host, empties /run, and boots again on the same data. */
  async reboot(): Promise<void> {
    await this.#running.kill();
    this.#namespaces = undefined;
    // The proxy runs outside the host and keeps listening.
    await emptyFolder(join(this.dir, 'run'), ['docker.sock']);
    this.#namespaces = await this.#bootNamespaces();
    await this.startEngine();
  }

  /** SIGKILLs a container's process as the kernel does when memory is short: the engine restarts what it should. */
  async killProcess(container: string): Promise<void> {
    const pid = (await this.inspect(container))?.State.Pid ?? 0;
    if (pid === 0) throw new Error(`${container} does not run`);
    await run('nsenter', [...enterHost(this.initPid), 'kill', '-KILL', String(pid)]);
  }

  /** From now on removing this container fails with a 500, as on a host with damaged storage. */
  async makeUnremovable(container: string): Promise<void> {
    const file = join(await this.#upperDir(container), UNREMOVABLE_FILE);
    await writeFile(file, '');
    await run('chattr', ['+i', file]);
  }

  /** Lifts `makeUnremovable`; also when the container has been renamed, if you pass its id. */
  async makeRemovable(container: string): Promise<void> {
    const file = join(await this.#upperDir(container), UNREMOVABLE_FILE);
    await run('chattr', ['-i', file]);
    await unlink(file);
  }

  /** SIGSTOPs the container's shim: stop, rm and inspect of this container hang, others answer. */
  async freezeShim(container: string): Promise<void> {
    await stopProcess(await this.#shimPid(container));
  }

  /** @param containerId in full, because a name can't be looked up while the shim is frozen */
  async thawShim(containerId: string): Promise<void> {
    process.kill(await this.#shimPid(containerId), 'SIGCONT');
  }

  /** SIGKILLs the container's shim; the engine then ends what is left of the container. @param containerId in full */
  async killShim(containerId: string): Promise<void> {
    process.kill(await this.#shimPid(containerId), 'SIGKILL');
  }

  /** Limits the CPU time of dockerd and all containers. @param percent of one CPU; undefined removes the limit */
  async throttle(percent: number | undefined): Promise<void> {
    await throttleHost(this.#slot.cgroup, percent);
  }

  /** What dockerd and the containers have used of the CPU. */
  cpuSeconds(): Promise<CpuSeconds> {
    return readCpuSeconds(this.#slot.cgroup);
  }

  /** Takes all free space of /var/lib/docker; needs `smallDisk`. */
  async fillDisk(): Promise<void> {
    await fillDisk(this.#smallRoot());
  }

  /** Takes all free inodes of /var/lib/docker; needs `smallDisk`. */
  async fillInodes(): Promise<void> {
    await fillInodes(this.#smallRoot());
  }

  async freeDisk(): Promise<void> {
    await freeDisk(this.#smallRoot());
  }

  /** Between tests: no containers, volumes, networks, foreign images, files, proxy rules or recordings are left. */
  async reset(): Promise<void> {
    await this.throttle(undefined);
    if (this.#options.smallDisk) await this.freeDisk();
    await this.proxy.reset();
    await this.#thawEverything();
    await removeAllContainers({ socketPath: this.engineSocketPath, dockerRoot: this.dockerRoot });
    await removeVolumesAndNetworks(this.engineSocketPath);
    if (!(await restoreImages(this.engineSocketPath, this.#tags))) await this.#restoreDataRoot();
    await emptyFolder(join(this.dir, 'lib'), ['docker', 'rancher', 'kubelet']);
    for (const folder of ['lib/rancher', 'lib/kubelet', 'log', 'run/rancher'])
      await emptyFolder(join(this.dir, folder));
    await this.proxy.reset();
  }

  /** Stops every process of this host and removes its folder. */
  async stop(): Promise<void> {
    await this.#proxy?.close();
    this.#proxy = undefined;
    await this.#namespaces?.kill();
    this.#namespaces = undefined;
    await removeFolder(this.dir);
    await removeCgroups(this.#slot.cgroup);
    await this.#slot.release();
  }

  /** Engines before 25 accept any version. */
  async #oldestApi(): Promise<string> {
    const { body } = await callEngine(this.engineSocketPath, 'GET', '/version');
    return (body as { MinAPIVersion: string }).MinAPIVersion;
  }

  /** For when a test has removed an image that cannot be restored by its name. */
  async #restoreDataRoot(): Promise<void> {
    await this.stopEngine();
    await emptyFolder(this.dockerRoot);
    if (this.#template !== undefined) await copyTemplate(this.#template, this.dockerRoot);
    await this.startEngine();
  }

  get #running(): Namespaces {
    if (!this.#namespaces) throw new Error(`the host ${this.name} is not running`);
    return this.#namespaces;
  }

  #bootNamespaces(): Promise<Namespaces> {
    return bootNamespaces(this.#slot, this.name, this.#options.smallDisk ? this.#diskFile() : undefined);
  }

  #diskFile(): string {
    return join(this.dir, 'disk.img');
  }

  #smallRoot(): string {
    if (!this.#options.smallDisk)
      throw new Error('this host shares the disk of the machine; start it with smallDisk');
    return this.dockerRoot;
  }

  #clientEnvironment(socketPath: string): Record<string, string> {
    const api = this.#options.api ?? pinnedApi();
    return {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      HOME: this.dir,
      DOCKER_HOST: `unix://${socketPath}`,
      // The Docker client must be given the version of an old engine.
      ...(api !== undefined && socketPath === this.socketPath ? { DOCKER_API_VERSION: api } : {}),
    };
  }

  async #enginePid(): Promise<number> {
    const engine = await findEngine(this.initPid);
    if (!engine) throw new Error(`the engine of ${this.name} is not running`);
    return engine.pid;
  }

  async #shimPid(container: string): Promise<number> {
    const id = /^[0-9a-f]{64}$/.test(container) ? container : (await this.inspect(container))?.Id;
    const shim = id === undefined ? undefined : await findShim(this.initPid, id);
    if (!shim) throw new Error(`${container} has no shim: it is not running`);
    return shim.pid;
  }

  async #upperDir(container: string): Promise<string> {
    // The library's type knows the devicemapper driver only.
    const data = (await this.inspect(container))?.GraphDriver.Data as Record<string, string> | undefined;
    const upper = data?.['UpperDir'];
    if (upper === undefined) throw new Error(`no container ${container} on ${this.name}`);
    return upper.replace('/var/lib/docker', this.dockerRoot);
  }

  async #thawEverything(): Promise<void> {
    for (const { pid } of await listHostProcesses(this.initPid)) signalIfThere(pid, 'SIGCONT');
    if (!(await findEngine(this.initPid))) await this.startEngine();
  }
}

interface EngineContainer {
  Id: string;
  Names: string[] | null;
  Image: string;
  State: string;
  Status: string;
  Labels: Record<string, string>;
  Command: string;
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has exited meanwhile.
  }
}

async function makeFolders(dir: string): Promise<void> {
  const folders = ['run', 'lib/rancher', 'lib/docker', 'lib/kubelet', 'log', 'etc-docker'];
  for (const folder of folders) await mkdir(join(dir, folder), { recursive: true });
}
