/**
 * Runs the replay of the incident, both ways with each delay, one after the other so that none takes the other's CPU.
 *
 * exit status: 0 this entrypoint leaked nothing and converged each time, 1 it did not, 64 usage
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startReplay, ways, type Sample, type Way } from '../../test/support/scenes/replay.ts';
import { drawReplay, type Run } from './replay-chart.ts';

const SAMPLE_PAUSE_MS = 1_000;
const columns = [
  ...(['seconds', 'containers', 'leaked', 'agents', 'upgraded', 'converged'] as const),
  ...(['created', 'requests', 'engineCpu', 'containersCpu'] as const),
];

process.exitCode = await main();

async function main(): Promise<number> {
  const wish = readArguments();
  if (wish === undefined) return 64;
  const runs: Run[] = [];
  for (const delaySeconds of wish.delays) {
    for (const way of ways) {
      const run = { way, delaySeconds, samples: await record(way, delaySeconds, wish.minutes) };
      runs.push(run);
      console.log(describeRun(run));
    }
  }
  await mkdir(wish.to, { recursive: true });
  await writeFile(join(wish.to, 'replay.csv'), toCsv(runs));
  await writeFile(join(wish.to, 'replay.svg'), drawReplay(runs));
  return runs.every(isAsPromised) ? 0 : 1;
}

function readArguments(): { minutes: number; delays: number[]; to: string } | undefined {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '5' },
        delays: { type: 'string', default: '0,1,2.5' },
        to: { type: 'string', default: '.cache/replay' },
      },
    });
    const delays = values.delays.split(',').map(readNumber);
    return { minutes: readNumber(values.minutes), delays, to: values.to };
  } catch (error) {
    console.error(`replay: ${error instanceof Error ? error.message : String(error)} (see --help)`);
    return undefined;
  }
}

function readNumber(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text)) throw new Error(`not a number: "${text}"`);
  return Number(text);
}

async function record(way: Way, delaySeconds: number, minutes: number): Promise<readonly Sample[]> {
  const replay = await startReplay({ way, delayMs: delaySeconds * 1000 });
  try {
    const samples: Sample[] = [];
    do {
      samples.push(await replay.sample());
      await sleep(SAMPLE_PAUSE_MS);
    } while ((samples.at(-1)?.seconds ?? 0) < minutes * 60);
    return samples;
  } finally {
    await replay.close();
  }
}

/** What this entrypoint is for; the legacy entrypoint may end as it likes. */
function isAsPromised({ way, samples }: Run): boolean {
  if (way === 'old') return true;
  return samples.at(-1)?.converged === true && samples.every(({ leaked }) => leaked === 0);
}

function describeRun({ way, delaySeconds, samples }: Run): string {
  const last = samples.at(-1);
  const upgraded = samples.find((sample) => sample.upgraded);
  const converged = samples.find((sample) => sample.converged);
  const without = samples.filter(({ agents }) => agents === 0).length;
  return [
    `${way.padEnd(4)} ${delaySeconds} s a call: ${last?.leaked} leaked, ${last?.created} created`,
    upgraded === undefined ? 'never upgraded' : `upgraded after ${Math.round(upgraded.seconds)} s`,
    converged === undefined ? 'never done' : `done after ${Math.round(converged.seconds)} s`,
    `no agent in ${without} of ${samples.length} looks, ${last?.agents} in the end`,
    `${last?.requests} requests`,
    `CPU ${last?.engineCpu.toFixed(1)} s engine, ${last?.containersCpu.toFixed(1)} s containers`,
  ].join('; ');
}

function toCsv(runs: readonly Run[]): string {
  const lines = runs.flatMap(({ way, delaySeconds, samples }) =>
    samples.map((sample) => [way, delaySeconds, ...columns.map((name) => toCell(sample[name]))].join(',')),
  );
  return [['way', 'delay', ...columns].join(','), ...lines, ''].join('\n');
}

function toCell(value: number | boolean): string {
  return typeof value === 'boolean' ? String(Number(value)) : String(Math.round(value * 100) / 100);
}
