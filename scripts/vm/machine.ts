/**
 * One virtual machine in software emulation (no KVM): boots Debian's kernel from the folder of scripts/vm/build-machine, and is
 * spoken to by ssh. Its disks are sparse files in a work folder, or are never written. It ends with this process.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, open, rm, truncate } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';

/** Software emulation is slow, and slower beside other work: about a minute on an idle machine. */
const BOOT_DEADLINE_MS = 10 * 60_000;
const BOOT_POLL_MS = 2_000;
const STOP_DEADLINE_MS = 20_000;
const OUTPUT_LIMIT = 4 * 1024 * 1024;
/** How the emulated machine sees this one. */
export const outsideAddress = '10.0.2.2';

/** Where the engine listens in the machine beside its socket: the ssh server there forwards to no sockets. */
export const enginePort = 2375;

export interface MachineOptions {
  /** Of scripts/vm/build-machine: kernel, initrd, root.img, key. */
  readonly system: string;
  /** An empty folder of this run's own. */
  readonly work: string;
  /** A folder for sockets, with a short path. */
  readonly sockets: string;
  /** Size of the second disk in bytes; sparse. */
  readonly diskBytes: number;
  /** A file that the machine sees as its third disk, to read. */
  readonly archive: string;
  /** Aborted: give up waiting. */
  readonly signal: AbortSignal;
}

export interface Outcome {
  /** Exit status of the command; 255 if ssh itself failed; 124 after the deadline. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** How long it took. */
  readonly seconds: number;
}

export class Machine {
  /** The engine's socket, brought here by ssh. */
  readonly engineSocket: string;
  readonly #options: MachineOptions;
  readonly #port: number;
  readonly #qemu: ChildProcess;
  #tunnel: ChildProcess | undefined;

  private constructor(options: MachineOptions, port: number) {
    this.#options = options;
    this.#port = port;
    this.engineSocket = join(options.sockets, 'engine.sock');
    this.#qemu = startQemu(options, port);
  }

  /** Boots it. @throws Error when it does not answer in time; the console's log is in the work folder */
  static async boot(options: MachineOptions): Promise<Machine> {
    await mkdir(options.work, { recursive: true });
    await copyFile(join(options.system, 'key'), join(options.work, 'key'));
    const disk = join(options.work, 'disk.img');
    await (await open(disk, 'w')).close();
    await truncate(disk, options.diskBytes);
    const machine = new Machine(options, await findFreePort());
    try {
      await machine.#waitUntilUp();
      await machine.#openTunnel();
      return machine;
    } catch (error) {
      await machine.stop();
      throw error;
    }
  }

  /** Runs a shell command as root in the machine. @param deadlineMs afterwards it is given up, with status 124 */
  async try(command: string, deadlineMs: number, input?: string): Promise<Outcome> {
    const begun = performance.now();
    const child = spawn('ssh', [...this.#sshOptions(), 'root@127.0.0.1', command], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
    if (input === undefined) child.stdin.end();
    else (await open(input)).createReadStream().pipe(child.stdin);
    child.stdin.on('error', () => undefined);
    const [stdout, stderr, [code, signal]] = await Promise.all([
      collect(child.stdout),
      collect(child.stderr),
      new Promise<[number | null, string | null]>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', (status, by) => resolve([status, by]));
      }),
    ]);
    clearTimeout(timer);
    const status = signal === null ? (code ?? 255) : 124;
    return { status, stdout, stderr, seconds: (performance.now() - begun) / 1000 };
  }

  /** The same for a command that must succeed. @returns what it printed */
  async run(command: string, deadlineMs: number, input?: string): Promise<string> {
    const { status, stdout, stderr } = await this.try(command, deadlineMs, input);
    if (status !== 0) throw new Error(`in the machine: ${command}: status ${status}: ${stderr.trim()}`);
    return stdout;
  }

  /** The end of the engine's log: for a person, after a failure. */
  async describe(): Promise<string> {
    const look = 'journalctl -u docker -n 30 --no-pager; dmesg | tail -n 20; docker ps -a | head -n 20';
    const { stdout } = await this.try(look, 60_000);
    return stdout;
  }

  /** One connection that all commands share, and that brings the engine's socket here. */
  async #openTunnel(): Promise<void> {
    const forward = ['-N', '-M', '-L', `${this.engineSocket}:127.0.0.1:${enginePort}`];
    this.#tunnel = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', 'ssh', ...forward, ...this.#sshOptions(), 'root@127.0.0.1'],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    );
    const deadline = performance.now() + BOOT_DEADLINE_MS;
    while (performance.now() < deadline) {
      this.#options.signal.throwIfAborted();
      if (existsSync(join(this.#options.sockets, 'ssh')) && existsSync(this.engineSocket)) return;
      await sleep(BOOT_POLL_MS);
    }
    throw new Error('the connection by ssh is not set up');
  }

  /** Ends it, at once: its disks are thrown away. */
  async stop(): Promise<void> {
    this.#tunnel?.kill('SIGKILL');
    const ended = new Promise<void>((resolve) => this.#qemu.once('close', () => resolve()));
    if (this.#qemu.exitCode === null && this.#qemu.signalCode === null) {
      this.#qemu.kill('SIGKILL');
      await Promise.race([ended, sleep(STOP_DEADLINE_MS, undefined, { ref: false })]);
    }
    await rm(join(this.#options.work, 'disk.img'), { force: true });
    await rm(join(this.#options.work, 'key'), { force: true });
  }

  async #waitUntilUp(): Promise<void> {
    const deadline = performance.now() + BOOT_DEADLINE_MS;
    while (performance.now() < deadline) {
      this.#options.signal.throwIfAborted();
      if (this.#qemu.exitCode !== null || this.#qemu.signalCode !== null) break;
      const { status } = await this.try('true', 60_000);
      if (status === 0) return;
      await sleep(BOOT_POLL_MS);
    }
    throw new Error(`the virtual machine does not come up; its console: ${this.#options.work}/console.log`);
  }

  /** For a person's shell. */
  get sshCommand(): string {
    return ['ssh', ...this.#sshOptions(), 'root@127.0.0.1'].join(' ');
  }

  #sshOptions(): readonly string[] {
    const { work, sockets } = this.#options;
    return [
      ...['-o', `ControlPath=${join(sockets, 'ssh')}`],
      ...['-p', String(this.#port), '-i', join(work, 'key'), '-F', 'none', '-q'],
      ...['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'BatchMode=yes'],
      ...['-o', 'ConnectTimeout=20', '-o', 'ServerAliveInterval=30', '-o', 'ServerAliveCountMax=20'],
    ];
  }
}

/** The last argument lets the kernel end the emulator with this process, also when this one is killed. */
function startQemu({ system, work, archive }: MachineOptions, port: number): ChildProcess {
  const kernelArguments =
    'console=ttyS0 root=/dev/vda rw apparmor=0 mitigations=off quiet loglevel=4 audit=0';
  return spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'nice', '-n', '19', 'qemu-system-x86_64'],
      ...['-accel', 'tcg,thread=single', '-cpu', 'max', '-smp', '1', '-m', '2048'],
      ...['-nographic', '-no-reboot', '-serial', `file:${join(work, 'console.log')}`, '-monitor', 'none'],
      ...['-kernel', join(system, 'kernel'), '-initrd', join(system, 'initrd'), '-append', kernelArguments],
      ...['-drive', `file=${join(system, 'root.img')},format=raw,if=virtio,snapshot=on`],
      ...['-drive', `file=${join(work, 'disk.img')},format=raw,if=virtio,cache=unsafe`],
      ...['-drive', `file=${archive},format=raw,if=virtio,readonly=on`],
      ...['-device', 'virtio-rng-pci'],
      ...['-nic', `user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:${port}-:22`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, TMPDIR: work } },
  );
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port is free');
  return address.port;
}

async function collect(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    const part = Buffer.from(chunk);
    size += part.length;
    if (size <= OUTPUT_LIMIT) chunks.push(part);
  }
  return Buffer.concat(chunks).toString();
}
