/** What scripts/incident-vm writes: its figures as CSV and JSON, a chart, and a page of the documentation. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drawPool } from './pool-chart.ts';
import { percentOf, type PoolSample } from './pool.ts';

export interface Step {
  readonly name: string;
  readonly isAsDescribed: boolean;
  readonly outcome: string;
  readonly before: PoolSample;
  readonly after: PoolSample;
}

/** What came of a step. */
export type StepEnd = Pick<Step, 'isAsDescribed' | 'outcome'>;

export interface Figures {
  readonly date: string;
  readonly kernel: string;
  readonly engine: string;
  readonly metadataMb: number;
  /** Leaked helpers that were created. */
  readonly helpers: number;
  readonly steps: readonly Step[];
  readonly samples: readonly PoolSample[];
}

/** Writes metadata.csv, metadata.svg and incident-vm.json. */
export async function writeFigures(folder: string, figures: Figures): Promise<void> {
  const rows = figures.samples.map(({ seconds, used, total, mode, needsCheck }) =>
    [seconds, used, total, mode, Number(needsCheck)].join(','),
  );
  const csv = ['seconds,used,total,mode,needs_check', ...rows, ''].join('\n');
  await writeFile(join(folder, 'metadata.csv'), csv);
  await writeFile(join(folder, 'metadata.svg'), drawPool(figures));
  await writeFile(join(folder, 'incident-vm.json'), `${JSON.stringify(figures, undefined, 2)}\n`);
}

/** Writes the page and its chart. */
export async function writePage(folder: string, figures: Figures): Promise<void> {
  await writeFile(join(folder, 'incident-vm.md'), renderPage(figures));
  await writeFile(join(folder, 'incident-vm.svg'), drawPool(figures));
}

/** The page, as Markdown. */
export function renderPage(figures: Figures): string {
  const { date, kernel, engine, metadataMb, steps } = figures;
  const rows = steps.map(({ name, before, after, isAsDescribed, outcome }) => {
    const seconds = Math.round(after.seconds - before.seconds);
    const blocks = `${before.used} → ${after.used} of ${after.total}`;
    const percent = `${percentOf(before)} → ${percentOf(after)} %`;
    return `| ${isAsDescribed ? '✓' : '✗'} ${name} | ${seconds} | ${blocks} | ${percent} | ${escapeCell(outcome)} |`;
  });
  return `# The incident on devicemapper

Measured by \`scripts/incident-vm\` on ${date}: a virtual machine in software emulation, kernel ${kernel},
Docker ${engine}, devicemapper on an LVM thin pool with ${metadataMb} MB of metadata and 6 GB of data.
${describeHelpers(figures)}

The blocks of 4 kB are those of a real host. The seconds are not: software emulation is many times slower, and the
machine did other work at the same time. Used blocks include the kernel's reserve of 10 % of the metadata. A step with ✓
went as the [runbook](../runbook.md#the-storage-is-low) describes it.

![Metadata of the pool over time](incident-vm.svg)

| step | seconds | metadata blocks | | outcome |
|---|---|---|---|---|
${rows.join('\n')}
`;
}

/** How the names of the steps begin in which helpers leak. */
export const leaking = 'helpers leak';

function describeHelpers({ steps, helpers }: Figures): string {
  const leaks = steps.filter(({ name }) => name.startsWith(leaking));
  const blocks = leaks.reduce((sum, { before, after }) => sum + after.used - before.used, 0);
  if (helpers === 0) return 'No helper leaked.';
  return `A leaked helper took ${(blocks / helpers).toFixed(1)} blocks of metadata (${helpers} helpers).`;
}

/** The first line that says something, for a cell of the table. */
export function shorten(text: string): string {
  return text.trim().split('\n', 1).join('').slice(0, 300);
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ');
}
