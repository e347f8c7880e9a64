/**
 * How fast `cleanup` is, beside what people would type instead, on the same sets of containers in the same run.
 *
 * usage: node scripts/benchmark/cleanup.ts [SIZES]     (100,2000,6000; only these are written into docs/)
 * exit status: 0 measured, 1 slower than 0.9 of the others or not linear, 64 usage
 */
import { execFile, spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { startHost } from '../../test/support/host/host.ts';
import { makeLeaks } from '../../test/support/scenes/leak-maker.ts';
import { oldImage } from '../../test/support/scenes/leaky-host.ts';
import { images, limits } from '../../test/support/scenes/scene.ts';
import type { TestHost } from '../../test/support/host/test-host.ts';
import { median } from './figure.ts';
import { describeMachine } from './machine.ts';
import {
  renderChart,
  renderPage,
  type Bench,
  type Figures,
  type Load,
  type Summary,
  type Timing,
  type Tool,
} from './cleanup-page.ts';

const run = promisify(execFile);
const docs = join(import.meta.dirname, '..', '..', 'docs');
const usualSizes = [100, 2_000, 6_000];
/** Each size so often. */
const roundsOf = (size: number): number => (size > 2_000 ? 3 : 7);
const tools: readonly Tool[] = ['cleanup', 'prune', 'xargs'];
/** What the issue asks for: at least this part of the rate of the faster one of the others. */
export const leastRatio = 0.9;
/** Time per container may grow by this much from 2,000 to 6,000 and still be called linear. */
const mostGrowth = 1.5;

const wished = import.meta.main ? process.argv[2] : undefined;
const isUsual = wished === undefined;
const sizes = wished?.split(',').map(Number) ?? usualSizes;
if (sizes.some((size) => !Number.isInteger(size) || size < 1)) {
  console.error('usage: scripts/bench cleanup [SIZES], e.g. 100,2000');
  process.exit(64);
}
// `scripts/bench` without a subject takes a part of this.
if (import.meta.main) process.exitCode = await main();

async function main(): Promise<number> {
  const host = await startHost({ name: 'bench' });
  try {
    await host.docker('tag', 'agent-test-base', oldImage);
    const figures: Figures[] = [];
    for (const size of sizes) figures.push(...(await measureSize(host, size)));
    const bench: Bench = {
      machine: describeMachine(),
      engine: await host.docker('version', '--format', '{{.Server.Version}}'),
      driver: await host.docker('info', '--format', '{{.Driver}}'),
      load: Math.round(loadavg()[2] ?? 0),
      date: new Date().toISOString().slice(0, 10),
      figures,
    };
    if (isUsual) {
      await writeFile(join(docs, 'cleanup-benchmark.json'), `${JSON.stringify(bench, undefined, 2)}\n`);
      await writeFile(join(docs, 'cleanup-benchmark.svg'), renderChart(bench));
      await writeFile(join(docs, 'cleanup-benchmark.md'), renderPage(bench));
    }
    return judge(bench);
  } finally {
    await host.stop();
  }
}

async function measureSize(host: TestHost, size: number): Promise<readonly Figures[]> {
  const figures: Figures[] = [];
  for (const timing of summarize(await timeRounds(host, size, roundsOf(size), tools))) {
    await fill(host, size);
    const load = await measureLoad(host, timing.tool);
    const { psMs, memoryMiB } = load;
    console.log(
      `${size} ${timing.tool.padEnd(8)} docker ps ${psMs.before}/${psMs.during}/${psMs.after} ms${memoryMiB === undefined ? '' : `, ${memoryMiB.most} MiB`}`,
    );
    figures.push({ ...timing, ...load });
  }
  return figures;
}

/** One try of each tool. */
export type Round<T extends Tool = Tool> = Readonly<Record<T, Timing>>;

/** Each tool on sets of this size, each time in another order, with nobody looking on: that takes time of its own. */
export async function timeRounds<T extends Tool>(
  host: TestHost,
  size: number,
  count: number,
  each: readonly T[],
): Promise<readonly Round<T>[]> {
  const rounds: Round<T>[] = [];
  for (let round = 0; round < count; round += 1) {
    const timings: [T, Timing][] = [];
    const turn = round % each.length;
    for (const tool of [...each.slice(turn), ...each.slice(0, turn)]) {
      await fill(host, size);
      const timing = await time(host, tool, size);
      timings.push([tool, timing]);
      console.log(
        `${size} ${tool.padEnd(8)} ${timing.seconds.toFixed(1)} s, ${timing.rate}/s while removing`,
      );
    }
    rounds.push(Object.fromEntries(timings) as Round<T>);
  }
  return rounds;
}

function summarize(rounds: readonly Round[]): readonly Summary[] {
  const beside = {
    whole: median(
      rounds.map(({ cleanup, prune, xargs }) => Math.min(prune.seconds, xargs.seconds) / cleanup.seconds),
    ),
    removing: median(rounds.map((round) => round.cleanup.rate / fasterOf(round))),
  };
  return tools.map((tool) => {
    const timings = rounds.map((round) => round[tool]);
    const [first] = timings;
    if (first === undefined) throw new Error('nothing was measured');
    const seconds = round(median(timings.map((timing) => timing.seconds)));
    const rate = median(timings.map((timing) => timing.rate));
    return { ...first, seconds, rate, ...(tool === 'cleanup' ? { beside } : {}) };
  });
}

/** The rate of the faster one of the others. */
function fasterOf({ prune, xargs }: Round): number {
  return Math.max(prune.rate, xargs.rate);
}

async function fill(host: TestHost, size: number): Promise<void> {
  await makeLeaks(
    host.engineSocketPath,
    Array.from({ length: size }, () => ({ image: oldImage, entrypoint: '/run.sh' })),
  );
}

async function time(host: TestHost, tool: Tool, size: number): Promise<Timing> {
  const removals = await followRemovals(host);
  const begun = performance.now();
  await perform(host, tool);
  const seconds = (performance.now() - begun) / 1000;
  // The last of them are still on their way to us.
  await sleep(500);
  const times = removals.end();
  const left = await host.containers();
  if (left.length > 0) throw new Error(`${tool} left ${left.length} of ${size}`);
  // An engine drops events for a reader that lags behind, and both cores are full.
  if (times.length < size * 0.99) throw new Error(`${times.length} removals were told, of ${size}`);
  return { tool, size, seconds: round(seconds), rate: rateOf(times) };
}

/** What others have to bear meanwhile. */
async function measureLoad(host: TestHost, tool: Tool): Promise<Load> {
  const before = await timePs(host);
  const work = perform(host, tool);
  const { latencies, memory } = await watch(host, work);
  await work;
  const psMs = {
    before,
    during: Math.round(median(latencies)),
    most: Math.max(...latencies),
    after: await timePs(host),
  };
  const memoryMiB = { first: memory[0] ?? 0, most: Math.max(...memory), last: memory.at(-1) ?? 0 };
  return memory.length === 0 ? { psMs } : { psMs, memoryMiB };
}

async function perform(host: TestHost, tool: Tool): Promise<void> {
  switch (tool) {
    case 'cleanup': {
      await command(
        host,
        // The engine itself, as the others: not the proxy of the tests.
        ...['docker', 'run', '--rm', '--name', 'cleaner', '-v', '/run/engine.sock:/var/run/docker.sock'],
        // Those of the bench have just been made.
        ...limits({ SWEEP_AGE: 0 }),
        ...[images.a, 'cleanup', '--yes', '--json'],
      );
      return;
    }
    case 'prune':
      await command(host, 'docker', 'container', 'prune', '-f');
      return;
    case 'xargs':
      await command(host, 'sh', '-c', 'docker ps -aq | xargs -P4 docker rm');
      return;
  }
}

/** The engine's own times of all removals from now on, in ms; but the one of the tool's own container. */
async function followRemovals(host: TestHost): Promise<{ end: () => readonly number[] }> {
  const format = '{{.TimeNano}} {{.Actor.Attributes.name}}';
  const filters = ['--filter', 'type=container', '--filter', 'event=destroy'];
  const events = spawn('docker', ['events', ...filters, '--since', '0', '--format', format], {
    env: environmentFor(host),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const begun = Date.now();
  let text = '';
  events.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  // What was before comes at once, if there is any; it is left out below.
  await sleep(500);
  return {
    end() {
      events.kill();
      return text
        .split('\n')
        .filter((line) => line !== '' && !line.endsWith(' cleaner'))
        .map((line) => Number(line.split(' ')[0]) / 1e6)
        .filter((at) => at >= begun);
    },
  };
}

function rateOf(times: readonly number[]): number {
  const [first, last] = [Math.min(...times), Math.max(...times)];
  return Math.round(((times.length - 1) * 1_000) / (last - first));
}

/** Looks on, twice a second. */
async function watch(
  host: TestHost,
  work: Promise<unknown>,
): Promise<{ latencies: number[]; memory: number[] }> {
  const latencies: number[] = [];
  const memory: number[] = [];
  const ended = work.then(
    () => true,
    () => true,
  );
  do {
    latencies.push(await timePs(host));
    const mib = await readMemory(host);
    if (mib !== undefined) memory.push(mib);
  } while (!(await Promise.race([ended, sleep(250, false)])));
  return { latencies, memory };
}

async function timePs(host: TestHost): Promise<number> {
  const begun = performance.now();
  await host.docker('ps', '-q');
  return Math.round(performance.now() - begun);
}

async function readMemory(host: TestHost): Promise<number | undefined> {
  const pid = (await host.inspect('cleaner'))?.State.Pid;
  if (pid === undefined || pid === 0) return undefined;
  const status = await readFile(host.pathInHost(`/proc/${pid}/status`), 'utf8').catch(() => '');
  // Before the container's own process has begun it is the runtime's.
  if (!/^Name:\s+(MainThread|node|ld-linux)/m.test(status)) return undefined;
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  return kib === undefined ? undefined : Math.round(Number(kib) / 1024);
}

async function command(host: TestHost, file: string, ...args: string[]): Promise<void> {
  await run(file, args, { env: environmentFor(host), maxBuffer: 64 * 2 ** 20 });
}

function environmentFor(host: TestHost): NodeJS.ProcessEnv {
  return { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', DOCKER_HOST: `unix://${host.engineSocketPath}` };
}

/** @returns 1 if what the issue asks for is not so */
function judge({ figures }: Bench): number {
  const of = (tool: Tool, size: number): Figures | undefined =>
    figures.find((row) => row.tool === tool && row.size === size);
  let status = 0;
  for (const size of sizes.filter((one) => one >= 1_000)) {
    const { whole, removing } = of('cleanup', size)?.beside ?? { whole: Number.NaN, removing: Number.NaN };
    console.log(
      `${size}: ${removing.toFixed(2)} of the rate of the fastest other while removing, ${whole.toFixed(2)} of the whole`,
    );
    if (!(removing >= leastRatio)) status = 1;
  }
  const secondsEach = (size: number): number => (of('cleanup', size)?.seconds ?? Number.NaN) / size;
  const growth = secondsEach(6_000) / secondsEach(2_000);
  if (growth > mostGrowth) status = 1;
  if (!Number.isNaN(growth)) console.log(`time per container from 2,000 to 6,000: x ${growth.toFixed(2)}`);
  return status;
}

function round(seconds: number): number {
  return Number(seconds.toFixed(2));
}
