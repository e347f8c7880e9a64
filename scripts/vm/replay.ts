/** The steps of the incident, on an engine with devicemapper. */
import { execFile } from 'node:child_process';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeLeak } from '../../test/support/scenes/leak-maker.ts';
import { startStubServer, type StubServer } from '../../test/support/server/stub/stub-server.ts';
import { imageA, imageB } from './images.ts';
import { enginePort, outsideAddress, type Machine } from './machine.ts';
import type { Figures, Step } from './page.ts';
import { parsePoolSample, percentOf, type PoolSample } from './pool.ts';

const COMMAND_MS = 10 * 60_000;
const SHORT_MS = 2 * 60_000;
/** Until a state that the agent reaches without help. */
const AGENT_MS = 12 * 60_000;
const POLL_MS = 5_000;
const MOST_HELPERS = 600;
/** One above the limits of the doctor and of an upgrade: percent are compared as whole numbers. */
const WARNS_FROM = 71;
const DEFERS_FROM = 91;
/** A look at the pool takes longer than a helper: far from the aim, one look for several. */
const NEAR_PERCENT = 8;
const FAR_HELPERS = 8;
const GROWTH_MB = 12;
/** Often enough for a person at night. */
const quick = ['VERIFY=5000', 'BOOTSTRAP_WATCH=5000', 'ATTEMPT_PAUSE_MIN=5000', 'UPGRADE_RETRY_MAX=20000'];

export interface ReplayOptions {
  readonly machine: Machine;
  readonly metadataMb: number;
  readonly signal: AbortSignal;
  /** Called after each step. */
  readonly keep: (figures: Figures) => Promise<void>;
}

interface Result {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class Replay {
  readonly #options: ReplayOptions;
  readonly #server: StubServer;
  readonly #steps: Step[] = [];
  #helpers = 0;

  private constructor(options: ReplayOptions, server: StubServer) {
    this.#options = options;
    this.#server = server;
  }

  /** Makes the pool, starts Docker on it, loads the images and registers the host. */
  static async start(options: ReplayOptions): Promise<Replay> {
    const bootstrap = { bootstrapRun: 'exits' } as const;
    const server = await startStubServer({
      host: '0.0.0.0',
      port: 0,
      requiredImages: [imageA],
      ...bootstrap,
    });
    const replay = new Replay(options, server);
    try {
      await replay.#prepare();
      return replay;
    } catch (error) {
      await replay.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#server.close();
  }

  /** Helpers leak until the doctor warns and until an upgrade is deferred; cleanup makes room. */
  async untilCleanup(): Promise<void> {
    await this.#step(`helpers leak until ${WARNS_FROM} %`, async () => this.#leakUntil(WARNS_FROM));
    await this.#step('doctor warns', async () => this.#expectFinding('storage-tight'));
    await this.#step(`helpers leak until ${DEFERS_FROM} %`, async () => this.#leakUntil(DEFERS_FROM));
    await this.#step('the server requires another image: deferred', async () => {
      this.#server.setRequiredImage(imageB);
      return this.#expectState('deferred', 'storage-low');
    });
    await this.#step('cleanup', async () => this.#cleanUp());
    await this.#step('the deferred upgrade goes through', async () => this.#expectAgent(imageB));
  }

  /** Helpers leak until the pool is read-only; nothing of ours makes it worse; it is extended while it is in use. */
  async fullPool(): Promise<void> {
    await this.#step('helpers leak until the pool is read-only', async () => this.#leakUntil(100));
    await this.#step('the server requires the first image: deferred', async () => {
      this.#server.setRequiredImage(imageA);
      return this.#expectState('deferred', 'storage-low');
    });
    await this.#step('cleanup on the full pool removes nothing', async () => this.#expectNothingRemoved());
    await this.#step(`lvextend --poolmetadatasize +${GROWTH_MB}M, online`, async () => this.#extend());
    await this.#step('the agent is restarted, and the deferred upgrade goes through', async () => {
      await this.#docker(COMMAND_MS, 'restart', '-t', '10', 'rancher-agent');
      return this.#expectAgent(imageA);
    });
    await this.#step('cleanup after the repair', async () => this.#cleanUp());
  }

  /** What was recorded so far. */
  async figures(): Promise<Figures> {
    const recorded = await this.#inMachine('cat /run/pool.log 2>/dev/null || true', SHORT_MS);
    const samples = recorded.split('\n').flatMap((line) => parsePoolSample(line) ?? []);
    const versions = await this.#inMachine('uname -r; docker version -f "{{.Server.Version}}"', SHORT_MS);
    const [kernel = '?', engine = '?'] = versions.trim().split('\n');
    const { metadataMb } = this.#options;
    const date = new Date().toISOString().slice(0, 10);
    return { date, kernel, engine, metadataMb, helpers: this.#helpers, steps: this.#steps, samples };
  }

  async #prepare(): Promise<void> {
    await this.#inMachine(preparePool(this.#options.metadataMb), COMMAND_MS);
    await this.#step('Docker starts on an empty pool', async () => {
      await this.#inMachine('systemctl start docker', COMMAND_MS);
      return { isAsDescribed: true, outcome: 'storage driver devicemapper' };
    });
    await this.#step('two images are loaded', async () => {
      await this.#inMachine('docker load -q </dev/vdc', COMMAND_MS);
      return { isAsDescribed: true, outcome: 'two images of the agent' };
    });
    await this.#step('the host is registered', async () => this.#register());
  }

  async #register(): Promise<StepEnd> {
    const limits = quick.map((limit) => `export AGENT_LIMIT_${limit}\n`).join('');
    await this.#inMachine(
      `mkdir -p /var/lib/rancher/etc && printf '%s' '${limits}' >/var/lib/rancher/etc/agent.conf`,
      SHORT_MS,
    );
    const url = `http://${outsideAddress}:${this.#server.port}/v1/scripts/${this.#server.token}`;
    const socket = '/var/run/docker.sock:/var/run/docker.sock';
    const limit = quick.flatMap((it) => ['-e', `AGENT_LIMIT_${it}`]);
    const run = ['run', '--rm', '--privileged', '-v', socket, ...limit, imageA, url];
    const { status, stderr } = await this.#docker(COMMAND_MS, ...run);
    if (status !== 0) throw new Error(`the host cannot be registered: ${status}: ${stderr.slice(-2000)}`);
    return { isAsDescribed: true, outcome: 'exit status 0' };
  }

  /** Created and never started: as expensive as one that ran, but for one block. */
  async #leakUntil(percent: number): Promise<StepEnd> {
    const before = this.#helpers;
    let refusal = '';
    while (this.#helpers - before < MOST_HELPERS) {
      this.#options.signal.throwIfAborted();
      const sample = await this.#readPool();
      if (percentOf(sample) >= percent || sample.mode !== 'rw') break;
      const count = percentOf(sample) < percent - NEAR_PERCENT ? FAR_HELPERS : 1;
      const made = await this.#leak(count);
      this.#helpers += made.count;
      if (made.refusal !== undefined) {
        refusal = made.refusal;
        break;
      }
    }
    const { mode, needsCheck, ...sample } = await this.#readPool();
    const count = `${this.#helpers - before} helpers more, ${this.#helpers} in all`;
    const state = mode === 'rw' ? '' : `; the pool is ${mode}${needsCheck ? ', needs_check' : ''}`;
    const isThere = percent < 100 ? percentOf(sample) >= percent : mode !== 'rw';
    return { isAsDescribed: isThere, outcome: `${count}${state}${refusal === '' ? '' : `; ${refusal}`}` };
  }

  async #leak(wanted: number): Promise<{ readonly count: number; readonly refusal?: string }> {
    for (let count = 0; count < wanted; count += 1) {
      try {
        await makeLeak(this.#options.machine.engineSocket, { image: imageA });
      } catch (error) {
        return { count, refusal: error instanceof Error ? error.message.slice(0, 160) : String(error) };
      }
    }
    return { count: wanted };
  }

  async #expectFinding(cause: string): Promise<StepEnd> {
    const { status, stdout } = await this.#agent('doctor', '--json');
    const { causes } = JSON.parse(stdout) as { causes: readonly string[] };
    return { isAsDescribed: causes.includes(cause), outcome: `exit status ${status}: ${causes.join(', ')}` };
  }

  async #expectState(state: string, cause: string): Promise<StepEnd> {
    const found = await this.#waitFor(async () => {
      const status = await this.#readState();
      return status.state === state && status.cause === cause ? status : undefined;
    });
    const { summary = 'never' } = found ?? (await this.#readState());
    return { isAsDescribed: found !== undefined, outcome: summary };
  }

  async #expectAgent(image: string): Promise<StepEnd> {
    const done = await this.#waitFor(async () => {
      const inspect = ['inspect', '-f', '{{.Config.Image}} {{.State.Running}}', 'rancher-agent'];
      const { stdout } = await this.#docker(SHORT_MS, ...inspect);
      if (stdout.trim() !== `${image} true`) return undefined;
      const { state, summary } = await this.#readState();
      return state === 'ok' ? summary : undefined;
    });
    const { summary = '' } = done === undefined ? await this.#readState() : { summary: done };
    return { isAsDescribed: done !== undefined, outcome: summary };
  }

  /** The helpers are too young to be removed: the machine's clock goes an hour ahead. */
  async #cleanUp(): Promise<StepEnd> {
    await this.#inMachine('date -s "+1 hour" >/dev/null', SHORT_MS);
    const { status, stdout, stderr } = await this.#agent('cleanup', '--yes', '--json');
    const report = readReport(stdout);
    if (report === undefined) return { isAsDescribed: false, outcome: `${status}: ${stderr.slice(-300)}` };
    const { removed, failed, freedMetadataBytes } = report;
    const metadata =
      freedMetadataBytes === undefined ? '' : `, ${freedMetadataBytes} bytes of metadata freed`;
    return {
      isAsDescribed: status === 0 && failed === 0,
      outcome: `${removed} removed, ${failed} failed${metadata}`,
    };
  }

  async #expectNothingRemoved(): Promise<StepEnd> {
    const before = await this.#countDead();
    const { status, stdout } = await this.#agent('cleanup', '--yes', '--json');
    const after = await this.#countDead();
    const removed = readReport(stdout)?.removed ?? 0;
    const outcome = `exit status ${status}, ${removed} removed, dead containers: ${before} before, ${after} after`;
    return { isAsDescribed: removed === 0 && after <= before, outcome };
  }

  async #countDead(): Promise<number> {
    const filters = ['--filter', 'status=dead', '--filter', 'status=removing'];
    const { stdout } = await this.#docker(SHORT_MS, 'ps', '-aq', ...filters);
    return stdout.split('\n').filter((line) => line !== '').length;
  }

  async #extend(): Promise<StepEnd> {
    await this.#inMachine(`lvextend --poolmetadatasize +${GROWTH_MB}M docker/thinpool`, SHORT_MS);
    const { mode } = await this.#readPool();
    return { isAsDescribed: mode === 'rw', outcome: `the pool is ${mode}` };
  }

  async #readPool(): Promise<PoolSample> {
    const line = await this.#inMachine(lookAtPool, SHORT_MS);
    const sample = parsePoolSample(line);
    if (sample === undefined) throw new Error(`dmsetup status: ${line}`);
    return sample;
  }

  async #readState(): Promise<AgentState> {
    const file = '/var/lib/rancher/entrypoint/status.json';
    const text = await this.#inMachine(`cat ${file} 2>/dev/null || echo '{}'`, SHORT_MS);
    return JSON.parse(text) as AgentState;
  }

  async #waitFor<Value>(look: () => Promise<Value | undefined>): Promise<Value | undefined> {
    const deadline = performance.now() + AGENT_MS;
    while (performance.now() < deadline) {
      this.#options.signal.throwIfAborted();
      const value = await look();
      if (value !== undefined) return value;
      await sleep(POLL_MS, undefined, { signal: this.#options.signal });
    }
    return undefined;
  }

  async #step(name: string, act: () => Promise<StepEnd>): Promise<void> {
    this.#options.signal.throwIfAborted();
    const before = await this.#readPool();
    const end = await act();
    const after = await this.#readPool();
    const step: Step = { name, ...end, before, after };
    this.#steps.push(step);
    const seconds = Math.round(after.seconds - before.seconds);
    console.log(
      `${end.isAsDescribed ? '✓' : '✗'} ${name}: ${seconds} s, ${percentOf(before)} → ${percentOf(after)} %: ${end.outcome}`,
    );
    await this.#options.keep(await this.figures());
  }

  async #agent(...args: readonly string[]): Promise<Result> {
    return this.#docker(COMMAND_MS, 'exec', 'rancher-agent', '/run.sh', ...args);
  }

  /** The docker client of this machine, on the engine of the other one: emulation would slow it down. */
  async #docker(deadlineMs: number, ...args: readonly string[]): Promise<Result> {
    const { engineSocket } = this.#options.machine;
    return new Promise((resolve) => {
      const options = { timeout: deadlineMs, killSignal: 'SIGKILL', maxBuffer: 16 * 2 ** 20 } as const;
      execFile('docker', ['--host', `unix://${engineSocket}`, ...args], options, (error, stdout, stderr) => {
        const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 124;
        resolve({ status, stdout, stderr });
      });
    });
  }

  async #inMachine(command: string, deadlineMs: number): Promise<string> {
    return this.#options.machine.run(command, deadlineMs);
  }
}

/** What is read of the status file. */
interface AgentState {
  readonly state?: string;
  readonly cause?: string;
  readonly summary?: string;
}

type StepEnd = Pick<Step, 'isAsDescribed' | 'outcome'>;

const lookAtPool = 'echo "$(cut -d" " -f1 /proc/uptime) $(dmsetup status docker-thinpool)"';

const listen = `-H fd:// -H tcp://127.0.0.1:${enginePort} --tls=false --containerd=/run/containerd/containerd.sock`;

/** In the machine: an LVM thin pool on the second disk, Docker's options, and a recorder of the pool's use. */
function preparePool(metadataMb: number): string {
  const options = ['dm.thinpooldev=/dev/mapper/docker-thinpool', 'dm.basesize=1G', 'dm.min_free_space=0%'];
  const configuration = JSON.stringify({ 'storage-driver': 'devicemapper', 'storage-opts': options });
  return [
    'set -e',
    'modprobe -a dm_thin_pool br_netfilter',
    'pvcreate -q /dev/vdb && vgcreate -q docker /dev/vdb',
    `lvcreate -q -y --type thin-pool -n thinpool -L 6G --poolmetadatasize ${metadataMb}M --zero n docker`,
    `mkdir -p /etc/docker && echo '${configuration}' >/etc/docker/daemon.json`,
    'mkdir -p /etc/systemd/system/docker.service.d',
    `printf '[Service]\\nExecStart=\\nExecStart=/usr/sbin/dockerd ${listen}\\n' >/etc/systemd/system/docker.service.d/listen.conf`,
    'systemctl daemon-reload',
    `(while sleep 5; do ${lookAtPool}; done) </dev/null >/run/pool.log 2>/dev/null &`,
  ].join('\n');
}

function readReport(
  text: string,
): { readonly removed: number; readonly failed: number; readonly freedMetadataBytes?: number } | undefined {
  try {
    return JSON.parse(text) as ReturnType<typeof readReport>;
  } catch {
    return undefined;
  }
}
