/**
 * Measures this entrypoint beside a shell script that does the least an agent's entrypoint must do.
 *
 * usage: node scripts/benchmark/bench.ts [SUBJECT…]     (without one: all of them, and the page gets its first section)
 *        node scripts/benchmark/bench.ts cleanup [SIZES]     (without sizes the usual ones, and the page gets its second section)
 * exit status: 0 every bound is kept, 1 one is not, 64 usage
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultLimits, readLimits, type LimitName, type Limits } from '../../src/support/limits/limits.ts';
import type { Scene } from '../../test/support/scenes/scene.ts';
import { startBenchScene } from './bench-scene.ts';
import { renderChart, renderCleanup } from './cleanup-page.ts';
import { measureCleanup, judgeCleanup, usualSizes } from './cleanup.ts';
import { measureCleanupRate } from './cleanup-rate.ts';
import { exitStatusOf, type Figure } from './figure.ts';
import { measureImageSize } from './image-size.ts';
import { measureInspections } from './inspections.ts';
import { describeConditions, type Conditions } from './machine.ts';
import { measureMemory } from './memory.ts';
import { renderComparison, renderTable, replaceSection, type Report, type Section } from './page.ts';
import { measureReconnects } from './reconnects.ts';
import { measureRegistrations } from './registrations.ts';
import { measureUpgrades } from './upgrades.ts';

const docs = join(import.meta.dirname, '..', '..', 'docs', 'development');

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
  if (wished[0] === 'cleanup') return benchCleanup(wished.slice(1));
  const unknown = wished.find((name) => !allSubjects.includes(name));
  if (unknown !== undefined) {
    console.error(`bench: no such subject: ${unknown} (${allSubjects.join(', ')}, cleanup)`);
    return 64;
  }
  const report = await measure(wished.length === 0 ? allSubjects : wished);
  console.log(renderTable(report.figures));
  console.log(JSON.stringify(report));
  if (wished.length === 0) await updatePage('comparison', renderComparison(report));
  return exitStatusOf(report.figures);
}

async function benchCleanup(wished: readonly string[]): Promise<number> {
  const sizes = wished.length === 0 ? usualSizes : (wished[0] ?? '').split(',').map(Number);
  if (wished.length > 1 || sizes.some((size) => !Number.isInteger(size) || size < 1)) {
    console.error('usage: scripts/bench cleanup [SIZES], e.g. 100,2000');
    return 64;
  }
  const report = await measureCleanup(sizes);
  console.log(JSON.stringify(report));
  if (wished.length === 0) {
    await writeFile(join(docs, 'cleanup-benchmark.svg'), renderChart(report));
    await updatePage('cleanup', renderCleanup(report));
  }
  return judgeCleanup(report);
}

async function updatePage(section: Section, text: string): Promise<void> {
  const page = join(docs, 'benchmark.md');
  await writeFile(page, replaceSection(await readFile(page, 'utf8'), section, text));
}

async function measure(names: readonly string[]): Promise<Report> {
  const begun = performance.now();
  const figures: Figure[] = [];
  for (const name of names) figures.push(...((await simulated[name]?.()) ?? []));
  const measured = names.filter((name) => Object.hasOwn(subjects, name));
  const conditions =
    measured.length === 0 ? await describeConditions(undefined) : await onEngine(measured, figures);
  return { ...conditions, seconds: Math.round((performance.now() - begun) / 1000), figures };
}

async function onEngine(names: readonly string[], figures: Figure[]): Promise<Conditions> {
  const scene = await startBenchScene();
  try {
    for (const name of names) figures.push(...((await subjects[name]?.(scene)) ?? []));
    return await describeConditions(scene.host);
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
