/**
 * Measures this entrypoint beside a shell script that does the least an agent's entrypoint must do.
 *
 * usage: node scripts/bench.ts [SUBJECT…]     (without one: all of them, and what came out is written into docs/)
 * exit status: 0 every bound is kept, 1 one is not, 64 usage
 */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import type { Scene } from '../test/support/scene.ts';
import { startBenchScene } from './benchmark/bench-scene.ts';
import { measureCleanupRate } from './benchmark/cleanup-rate.ts';
import type { Figure } from './benchmark/figure.ts';
import { measureImageSize } from './benchmark/image-size.ts';
import { measureInspections } from './benchmark/inspections.ts';
import { describeMachine } from './benchmark/machine.ts';
import { measureMemory } from './benchmark/memory.ts';
import { renderBenchPage, renderTable, type Report } from './benchmark/page.ts';
import { measureRegistrations } from './benchmark/registrations.ts';
import { measureUpgrades } from './benchmark/upgrades.ts';

const docs = join(import.meta.dirname, '..', 'docs');

/** In the order in which they are shown. */
const subjects: Readonly<Record<string, (scene: Scene) => Promise<readonly Figure[]>>> = {
  'inspect-host': async (scene) => measureInspections(scene),
  register: async (scene) => measureRegistrations(scene),
  upgrade: async (scene) => measureUpgrades(scene),
  memory: async (scene) => measureMemory(scene),
  size: async (scene) => measureImageSize(scene),
  'cleanup-rate': async (scene) => measureCleanupRate(scene),
};

process.exitCode = await main(process.argv.slice(2));

async function main(wished: readonly string[]): Promise<number> {
  const unknown = wished.find((name) => !Object.hasOwn(subjects, name));
  if (unknown !== undefined) {
    console.error(`bench: no such subject: ${unknown} (${Object.keys(subjects).join(', ')}, cleanup)`);
    return 64;
  }
  const report = await measure(wished.length === 0 ? Object.keys(subjects) : wished);
  console.log(renderTable(report.figures));
  console.log(JSON.stringify(report));
  if (wished.length === 0) {
    await writeFile(join(docs, 'benchmark.json'), `${JSON.stringify(report, undefined, 2)}\n`);
    await writeFile(join(docs, 'benchmark.md'), renderBenchPage(report));
  }
  return report.figures.some(({ kept }) => kept === false) ? 1 : 0;
}

async function measure(names: readonly string[]): Promise<Report> {
  const begun = performance.now();
  const scene = await startBenchScene();
  try {
    const figures: Figure[] = [];
    for (const name of names) figures.push(...((await subjects[name]?.(scene)) ?? []));
    return {
      machine: describeMachine(),
      engine: await scene.host.docker('version', '--format', '{{.Server.Version}}'),
      driver: await scene.host.docker('info', '--format', '{{.Driver}}'),
      date: new Date().toISOString().slice(0, 10),
      load: Math.round(loadavg()[2] ?? 0),
      seconds: Math.round((performance.now() - begun) / 1000),
      figures,
    };
  } finally {
    await scene.close();
  }
}
