/**
 * Measures this entrypoint beside a shell script that does the least an agent's entrypoint must do.
 *
 * usage: node scripts/benchmark/bench.ts [SUBJECT…]     (without one: all of them, and what came out is written into docs/)
 * exit status: 0 every bound is kept, 1 one is not, 64 usage
 */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { defaultLimits, readLimits, type LimitName, type Limits } from '../../src/support/limits/limits.ts';
import type { Scene } from '../../test/support/scenes/scene.ts';
import { startBenchScene } from './bench-scene.ts';
import { measureCleanupRate } from './cleanup-rate.ts';
import { exitStatusOf, type Figure } from './figure.ts';
import { measureImageSize } from './image-size.ts';
import { measureInspections } from './inspections.ts';
import { describeMachine } from './machine.ts';
import { measureMemory } from './memory.ts';
import { renderBenchPage, renderTable, type Report } from './page.ts';
import { measureReconnects } from './reconnects.ts';
import { measureRegistrations } from './registrations.ts';
import { measureUpgrades } from './upgrades.ts';

const docs = join(import.meta.dirname, '..', '..', 'docs');

/** In the order in which they are shown. */
const subjects: Readonly<Record<string, (scene: Scene) => Promise<readonly Figure[]>>> = {
  'inspect-host': async (scene) => measureInspections(scene),
  register: async (scene) => measureRegistrations(scene),
  upgrade: async (scene) => measureUpgrades(scene),
  memory: async (scene) => measureMemory(scene),
  size: async (scene) => measureImageSize(scene),
  'cleanup-rate': async (scene) => measureCleanupRate(scene),
};

/** In simulated time: they need no engine. */
const simulated: Readonly<Record<string, () => Promise<readonly Figure[]>>> = {
  reconnect: async () => measureReconnects(overriddenLimits()),
};
const allSubjects = [...Object.keys(simulated), ...Object.keys(subjects)];

process.exitCode = await main(process.argv.slice(2));

async function main(wished: readonly string[]): Promise<number> {
  const unknown = wished.find((name) => !allSubjects.includes(name));
  if (unknown !== undefined) {
    console.error(`bench: no such subject: ${unknown} (${allSubjects.join(', ')}, cleanup)`);
    return 64;
  }
  const report = await measure(wished.length === 0 ? allSubjects : wished);
  console.log(renderTable(report.figures));
  console.log(JSON.stringify(report));
  if (wished.length === 0) {
    await writeFile(join(docs, 'benchmark.json'), `${JSON.stringify(report, undefined, 2)}\n`);
    await writeFile(join(docs, 'benchmark.md'), renderBenchPage(report));
  }
  return exitStatusOf(report.figures);
}

async function measure(names: readonly string[]): Promise<Report> {
  const begun = performance.now();
  const figures: Figure[] = [];
  for (const name of names) figures.push(...((await simulated[name]?.()) ?? []));
  const measured = names.filter((name) => Object.hasOwn(subjects, name));
  const engine =
    measured.length === 0 ? { engine: 'none', driver: 'none' } : await onEngine(measured, figures);
  return {
    machine: describeMachine(),
    ...engine,
    date: new Date().toISOString().slice(0, 10),
    load: Math.round(loadavg()[2] ?? 0),
    seconds: Math.round((performance.now() - begun) / 1000),
    figures,
  };
}

async function onEngine(
  names: readonly string[],
  figures: Figure[],
): Promise<Pick<Report, 'engine' | 'driver'>> {
  const scene = await startBenchScene();
  try {
    for (const name of names) figures.push(...((await subjects[name]?.(scene)) ?? []));
    return {
      engine: await scene.host.docker('version', '--format', '{{.Server.Version}}'),
      driver: await scene.host.docker('info', '--format', '{{.Driver}}'),
    };
  } finally {
    await scene.close();
  }
}

/** `AGENT_LIMIT_…` of the environment, to see what another value would do. */
function overriddenLimits(): Partial<Limits> {
  const { limits, problems } = readLimits(process.env);
  if (problems.length > 0) throw new Error(problems.join('; '));
  return Object.fromEntries(
    Object.entries(limits).filter(([name, value]) => value !== defaultLimits[name as LimitName]),
  );
}
