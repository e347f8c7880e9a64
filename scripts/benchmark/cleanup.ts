/** How fast `cleanup` is at length, beside what people would type instead: also the memory, and what others wait meanwhile. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { startHost } from '../../test/support/host/host.ts';
import { oldImage } from '../../test/support/scenes/leaky-host.ts';
import type { TestHost } from '../../test/support/host/test-host.ts';
import type { CleanupFigures, CleanupReport, Load, Summary, Tool } from './cleanup-page.ts';
import { fill, perform, round, timeRounds, type Round } from './cleanup-rounds.ts';
import { median } from './figure.ts';
import { describeConditions } from './machine.ts';

/** Only these sizes are written into the page. */
export const usualSizes = [100, 2_000, 6_000] as const;
/** Each size so often. */
const roundsOf = (size: number): number => (size > 2_000 ? 3 : 7);
const tools: readonly Tool[] = ['cleanup', 'prune', 'xargs'];
/** The rate of cleanup while removing is at least this beside each of the others. */
export const leastRatios = { prune: 1.2, xargs: 0.8 } as const;
/** Time per container may grow by this much from 2,000 to 6,000 and still be called linear. */
const mostGrowth = 1.5;

/** Measures every size on a host of its own. */
export async function measureCleanup(sizes: readonly number[]): Promise<CleanupReport> {
  const host = await startHost({ name: 'bench' });
  try {
    await host.docker('tag', 'agent-test-base', oldImage);
    const figures: CleanupFigures[] = [];
    for (const size of sizes) figures.push(...(await measureSize(host, size)));
    return { ...(await describeConditions(host)), figures };
  } finally {
    await host.stop();
  }
}

async function measureSize(host: TestHost, size: number): Promise<readonly CleanupFigures[]> {
  const figures: CleanupFigures[] = [];
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

function summarize(rounds: readonly Round[]): readonly Summary[] {
  const beside = {
    whole: median(
      rounds.map(({ cleanup, prune, xargs }) => Math.min(prune.seconds, xargs.seconds) / cleanup.seconds),
    ),
    removing: median(rounds.map((round) => round.cleanup.rate / fasterOf(round))),
  };
  const besideEach = {
    prune: median(rounds.map(({ cleanup, prune }) => cleanup.rate / prune.rate)),
    xargs: median(rounds.map(({ cleanup, xargs }) => cleanup.rate / xargs.rate)),
  };
  return tools.map((tool) => {
    const timings = rounds.map((round) => round[tool]);
    const [first] = timings;
    if (first === undefined) throw new Error('nothing was measured');
    const seconds = round(median(timings.map((timing) => timing.seconds)));
    const rate = median(timings.map((timing) => timing.rate));
    return { ...first, seconds, rate, ...(tool === 'cleanup' ? { beside, besideEach } : {}) };
  });
}

/** The rate of the faster one of the others. */
function fasterOf({ prune, xargs }: Round): number {
  return Math.max(prune.rate, xargs.rate);
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

/** Prints the verdicts. @returns 1 if cleanup is slower than promised, or not linear */
export function judgeCleanup({ figures }: CleanupReport): number {
  const of = (tool: Tool, size: number): CleanupFigures | undefined =>
    figures.find((row) => row.tool === tool && row.size === size);
  let status = 0;
  const sizes = new Set(figures.map(({ size }) => size).filter((size) => size >= 1_000));
  for (const size of sizes) {
    const { prune, xargs } = of('cleanup', size)?.besideEach ?? { prune: Number.NaN, xargs: Number.NaN };
    console.log(`${size}: while removing ${prune.toFixed(2)} × prune, ${xargs.toFixed(2)} × xargs`);
    if (!(prune >= leastRatios.prune && xargs >= leastRatios.xargs)) status = 1;
  }
  const secondsEach = (size: number): number => (of('cleanup', size)?.seconds ?? Number.NaN) / size;
  const growth = secondsEach(6_000) / secondsEach(2_000);
  if (growth > mostGrowth) status = 1;
  if (!Number.isNaN(growth)) console.log(`time per container from 2,000 to 6,000: x ${growth.toFixed(2)}`);
  return status;
}
