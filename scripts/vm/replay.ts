/** The steps of the incident, on an engine with devicemapper. */
import { makeLeak } from '../../test/support/scenes/leak-maker.ts';
import { startStubServer, type StubServer } from '../../test/support/server/stub/stub-server.ts';
import { imageA, imageB } from './images.ts';
import { outsideAddress, type Machine } from './machine.ts';
import { expectBusy, expectLaterDeletion } from './holder.ts';
import { leaking, shorten, type Figures, type Step, type StepEnd } from './page.ts';
import { parsePoolSample, percentOf } from './pool.ts';
import { defer, preparePool } from './prepare-pool.ts';
import { COMMAND_MS, ReplayHost, SHORT_MS } from './replay-host.ts';

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

export class Replay {
  readonly #options: ReplayOptions;
  readonly #server: StubServer;
  readonly #host: ReplayHost;
  readonly #steps: Step[] = [];
  #helpers = 0;

  private constructor(options: ReplayOptions, server: StubServer) {
    this.#options = options;
    this.#server = server;
    this.#host = new ReplayHost(options.machine, options.signal);
  }

  /** Makes the pool, starts Docker on it, loads the images and registers the host. */
  static async start(options: ReplayOptions): Promise<Replay> {
    const server = await startStubServer({ host: '0.0.0.0', port: 0, requiredImages: [imageA] });
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

  /** A process holds the device of a removed container: with deferred removal, and without it as on the incident's hosts. */
  async heldDevice(): Promise<void> {
    await this.#step('deferred removal: a process holds the device of a removed container', async () =>
      expectLaterDeletion(this.#host),
    );
    await this.#step('Docker restarts without deferred removal', async () => this.#restartEngine());
    await this.#step('a process holds the device of a removed container', async () => expectBusy(this.#host));
  }

  /** Helpers leak until the doctor warns and until an upgrade is deferred; cleanup makes room. */
  async untilCleanup(): Promise<void> {
    await this.#step(`${leaking} until ${WARNS_FROM} %`, async () => this.#leakUntil(WARNS_FROM));
    await this.#step('doctor warns', async () => this.#expectFinding('storage-tight'));
    await this.#step(`${leaking} until ${DEFERS_FROM} %`, async () => this.#leakUntil(DEFERS_FROM));
    await this.#step('the server requires another image: deferred', async () => {
      await this.#requireImage(imageB);
      return this.#expectState('deferred', 'storage-low');
    });
    await this.#step('cleanup', async () => this.#cleanUp());
    await this.#step('the deferred upgrade goes through', async () => this.#expectAgent(imageB));
  }

  /** Helpers leak until the pool is read-only; nothing of ours makes it worse; it is extended while it is in use. */
  async fullPool(): Promise<void> {
    await this.#step(`${leaking} until the pool is read-only`, async () => this.#leakUntil(100));
    await this.#step('the server requires the first image: deferred', async () => {
      await this.#requireImage(imageA);
      return this.#expectState('deferred', 'storage-low');
    });
    await this.#step('doctor on the full pool: extend, restart, clean up', async () => this.#expectAdvice());
    await this.#step('`docker run` on the full pool', async () => this.#expectNoRun());
    await this.#step('cleanup on the full pool removes nothing', async () => this.#expectNothingRemoved());
    await this.#step('the agent is restarted on the full pool: it removes nothing', async () =>
      this.#expectNothingSwept(),
    );
    await this.#step(`lvextend --poolmetadatasize +${GROWTH_MB}M, online`, async () => this.#extend());
    await this.#step('the agent is restarted, and the deferred upgrade goes through', async () => {
      await this.#restartAgent();
      return this.#expectAgent(imageA);
    });
    await this.#step('cleanup after the repair', async () => this.#cleanUp());
  }

  /** What was recorded so far. */
  async figures(): Promise<Figures> {
    const recorded = await this.#host.inMachine('cat /run/pool.log 2>/dev/null || true', SHORT_MS);
    const samples = recorded.split('\n').flatMap((line) => parsePoolSample(line) ?? []);
    const versions = await this.#host.inMachine(
      'uname -r; docker version -f "{{.Server.Version}}"',
      SHORT_MS,
    );
    const [kernel = '?', engine = '?'] = versions.trim().split('\n');
    const { metadataMb } = this.#options;
    const date = new Date().toISOString().slice(0, 10);
    return { date, kernel, engine, metadataMb, helpers: this.#helpers, steps: this.#steps, samples };
  }

  async #prepare(): Promise<void> {
    await this.#host.inMachine(preparePool(this.#options.metadataMb), COMMAND_MS);
    await this.#step('Docker starts on an empty pool', async () => {
      await this.#host.inMachine('systemctl start docker', COMMAND_MS);
      return { isAsDescribed: true, outcome: 'storage driver devicemapper' };
    });
    await this.#step('two images are loaded', async () => {
      await this.#host.inMachine('docker load -q </dev/vdc', COMMAND_MS);
      return { isAsDescribed: true, outcome: 'two images of the agent' };
    });
    await this.#step('the host is registered', async () => this.#register());
    if (!this.#steps.every(({ isAsDescribed }) => isAsDescribed))
      throw new Error('the host cannot be prepared');
  }

  async #register(): Promise<StepEnd> {
    const limits = quick.map((limit) => `export AGENT_LIMIT_${limit}\n`).join('');
    await this.#host.inMachine(
      `mkdir -p /var/lib/rancher/etc && printf '%s' '${limits}' >/var/lib/rancher/etc/agent.conf`,
      SHORT_MS,
    );
    const url = `http://${outsideAddress}:${this.#server.port}/v1/scripts/${this.#server.token}`;
    const socket = '/var/run/docker.sock:/var/run/docker.sock';
    const limit = quick.flatMap((it) => ['-e', `AGENT_LIMIT_${it}`]);
    const run = ['run', '--rm', '--privileged', '-v', socket, ...limit, imageA, url];
    const { status, stderr } = await this.#host.docker(COMMAND_MS, ...run);
    if (status !== 0) throw new Error(`the host cannot be registered: ${status}: ${stderr.slice(-2000)}`);
    return { isAsDescribed: true, outcome: 'exit status 0' };
  }

  /** Created and never started: as expensive as one that ran, but for one block. */
  async #leakUntil(percent: number): Promise<StepEnd> {
    const before = this.#helpers;
    let refusal = '';
    while (this.#helpers - before < MOST_HELPERS) {
      this.#options.signal.throwIfAborted();
      const sample = await this.#host.readPool();
      if (percentOf(sample) >= percent || sample.mode !== 'rw') break;
      const count = percentOf(sample) < percent - NEAR_PERCENT ? FAR_HELPERS : 1;
      const made = await this.#leak(count);
      this.#helpers += made.count;
      if (made.refusal !== undefined) {
        refusal = made.refusal;
        break;
      }
    }
    const { mode, needsCheck, ...sample } = await this.#host.readPool();
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
        return { count, refusal: error instanceof Error ? shorten(error.message) : String(error) };
      }
    }
    return { count: wanted };
  }

  async #expectFinding(cause: string): Promise<StepEnd> {
    const { status, causes } = await this.#host.diagnose();
    return { isAsDescribed: causes.includes(cause), outcome: `exit status ${status}: ${causes.join(', ')}` };
  }

  /** The advice for the full pool is in the order that works. */
  async #expectAdvice(): Promise<StepEnd> {
    const { status, findings } = await this.#host.diagnose();
    const pool = findings.find(({ check }) => check === 'pool');
    const { text = '', advice = '' } = pool ?? {};
    const isInOrder = /lvextend.*docker restart.*cleanup/s.test(advice);
    const isAsDescribed = pool?.cause === 'storage-low' && text.includes('read-only') && isInOrder;
    return { isAsDescribed, outcome: `exit status ${status}: ${text}. ${advice}` };
  }

  async #expectNoRun(): Promise<StepEnd> {
    const run = ['run', '--rm', '--entrypoint', 'true', imageA];
    const { status, stderr } = await this.#host.docker(COMMAND_MS, ...run);
    return { isAsDescribed: status === 125, outcome: `exit status ${status}: ${shorten(stderr)}` };
  }

  /** The agent comes back by its restart policy. */
  async #restartEngine(): Promise<StepEnd> {
    await this.#host.inMachine(`${defer(false)} && systemctl restart docker`, COMMAND_MS);
    return this.#expectAgent(imageA);
  }

  async #restartAgent(): Promise<void> {
    const { status, stderr } = await this.#host.docker(COMMAND_MS, 'restart', '-t', '10', 'rancher-agent');
    if (status !== 0) throw new Error(`docker restart: ${status}: ${stderr.slice(-300)}`);
  }

  /** As after an upgrade of the server: the agent's connection is gone, and the next bootstrap script requires the image. */
  async #requireImage(image: string): Promise<void> {
    this.#server.setRequiredImage(image);
    await this.#host.inMachine('pkill -f "^sleep 86400"', SHORT_MS);
  }

  async #expectState(state: string, cause: string): Promise<StepEnd> {
    const found = await this.#host.waitFor(async () => {
      const status = await this.#host.readState();
      return status.state === state && status.cause === cause ? status : undefined;
    });
    const { summary = 'never' } = found ?? (await this.#host.readState());
    return { isAsDescribed: found !== undefined, outcome: summary };
  }

  async #expectAgent(image: string): Promise<StepEnd> {
    const done = await this.#host.waitFor(async () => {
      const inspect = ['inspect', '-f', '{{.Config.Image}} {{.State.Running}}', 'rancher-agent'];
      const { stdout } = await this.#host.docker(SHORT_MS, ...inspect);
      if (stdout.trim() !== `${image} true`) return undefined;
      const { state, summary } = await this.#host.readState();
      return state === 'ok' ? summary : undefined;
    });
    const { summary = '' } = done === undefined ? await this.#host.readState() : { summary: done };
    return { isAsDescribed: done !== undefined, outcome: summary };
  }

  /** The helpers are too young to be removed: the machine's clock goes an hour ahead. */
  async #cleanUp(): Promise<StepEnd> {
    await this.#host.passAnHour();
    const { status, stdout, stderr } = await this.#host.agent('cleanup', '--yes', '--json');
    const report = readReport(stdout);
    if (report === undefined) return { isAsDescribed: false, outcome: `${status}: ${stderr.slice(-300)}` };
    const { removed, failed, freedMetadataBytes } = report;
    const megabytes = ((freedMetadataBytes ?? 0) / 1e6).toFixed(2);
    const dead = await this.#host.countDead();
    return {
      isAsDescribed: status === 0 && failed === 0 && dead === 0,
      outcome: `${removed} removed, ${failed} failed, ${megabytes} MB of metadata freed; ${dead} dead`,
    };
  }

  async #expectNothingRemoved(): Promise<StepEnd> {
    const before = await this.#host.countDead();
    await this.#host.passAnHour();
    const { status, stdout } = await this.#host.agent('cleanup', '--yes', '--json');
    const after = await this.#host.countDead();
    const removed = readReport(stdout)?.removed ?? 0;
    const outcome = `exit status ${status}, ${removed} removed, ${after} dead`;
    return { isAsDescribed: status === 75 && removed === 0 && after <= before, outcome };
  }

  /** The helpers are old enough to be swept at the start of an agent: it must see that nothing can be removed. */
  async #expectNothingSwept(): Promise<StepEnd> {
    await this.#host.passAnHour();
    const before = await this.#host.countContainers();
    await this.#restartAgent();
    const found = await this.#host.waitFor(async () => {
      const { stdout, stderr } = await this.#host.docker(SHORT_MS, 'logs', '--tail', '200', 'rancher-agent');
      return /the storage cannot take a change[^"\n]*?(?= \w+=|"|$)/m.exec(`${stdout}${stderr}`)?.[0];
    });
    const after = await this.#host.countContainers();
    const dead = await this.#host.countDead();
    const outcome = `containers: ${before} before, ${after} after, ${dead} dead; ${found ?? 'no word of the sweep'}`;
    return { isAsDescribed: found !== undefined && after === before && dead === 0, outcome };
  }

  async #extend(): Promise<StepEnd> {
    await this.#host.inMachine(`lvextend --poolmetadatasize +${GROWTH_MB}M docker/thinpool`, SHORT_MS);
    const { mode } = await this.#host.readPool();
    return { isAsDescribed: mode === 'rw', outcome: `the pool is ${mode}` };
  }

  async #step(name: string, act: () => Promise<StepEnd>): Promise<void> {
    this.#options.signal.throwIfAborted();
    const before = await this.#host.readPool();
    const end = await act().catch((error: unknown): StepEnd => {
      this.#options.signal.throwIfAborted();
      return {
        isAsDescribed: false,
        outcome: shorten(error instanceof Error ? error.message : String(error)),
      };
    });
    const after = await this.#host.readPool();
    const step: Step = { name, ...end, before, after };
    this.#steps.push(step);
    const seconds = Math.round(after.seconds - before.seconds);
    console.log(
      `${end.isAsDescribed ? '✓' : '✗'} ${name}: ${seconds} s, ${percentOf(before)} → ${percentOf(after)} %: ${end.outcome}`,
    );
    await this.#options.keep(await this.figures());
  }
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
