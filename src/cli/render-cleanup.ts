import { stripVTControlCharacters } from 'node:util';
import { describeHolder } from '../agent/transaction/mount-holders.ts';
import { formatSize } from '../host/storage.ts';
import { describeCause, type FailureGroup } from '../cleanup/causes.ts';
import type { CleanupOptions } from '../cleanup/clean-up-host.ts';
import type { Suspect } from '../cleanup/leaks.ts';
import type { CleanupReport, ListedContainer } from '../cleanup/report.ts';
import { leakedHelpers, type Scan } from '../cleanup/scan.ts';
import { shortId } from '../engine/containers.ts';
import { formatAge, formatDuration } from '../support/deadline.ts';
import type { Limits } from '../support/limits/limits.ts';
import { printable, printableAll } from '../support/printable.ts';
import type { Terminal } from '../support/terminal.ts';
import { createPaint, type Paint } from './paint.ts';
import { wrap } from './wrap.ts';

interface View {
  readonly terminal: Pick<Terminal, 'columns' | 'colour'>;
  readonly limits: Limits;
}

/** What the scan has found, before anything is asked or removed. */
export function renderCleanupPlan(
  scan: Scan,
  options: CleanupOptions,
  view: View & { readonly now: number },
): string {
  const paint = createPaint(view.terminal.colour);
  const lines = [
    ...foundLines(scan, view.now, paint),
    ...deadLines(scan),
    ...youngLines(scan.young, view.limits),
    ...leakLines(scan, options, paint),
  ];
  return lines
    .flatMap((line) => wrapHanging(line, view.terminal.columns))
    .join('\n')
    .concat('\n');
}

/** How it ended, line by line: a dry run may list 100,000 containers. */
export function* renderCleanupReport(report: CleanupReport, view: View): Generator<string> {
  const paint = createPaint(view.terminal.colour);
  if (report.end === 'declined') {
    yield 'Nothing was removed.\n';
    return;
  }
  const lines = report.dryRun ? dryRunLines(report, paint) : summaryLines(report, paint);
  for (const line of lines) for (const part of wrapHanging(line, view.terminal.columns)) yield `${part}\n`;
}

/**
 * The same as JSON, container by container.
 * @param safe makes each text safe: `safeValue`
 */
export function* renderCleanupJson(
  { containers, ...report }: CleanupReport,
  safe: (key: string, value: unknown) => unknown,
): Generator<string> {
  const text = JSON.stringify(report, safe, 2);
  if (containers === undefined) {
    yield `${text}\n`;
    return;
  }
  // All but the closing brace.
  yield `${text.slice(0, -2)},\n  "containers": [`;
  let separator = '\n    ';
  for (const container of containers) {
    yield separator + JSON.stringify(container, safe, 2).replaceAll('\n', '\n    ');
    separator = ',\n    ';
  }
  yield `${separator.startsWith(',') ? '\n  ' : ''}]\n}\n`;
}

function foundLines(scan: Scan, now: number, paint: Paint): readonly string[] {
  const suspects = leakedHelpers(scan);
  if (suspects.length === 0) return ['No leaked helpers of the legacy entrypoint.'];
  const ages = suspects.map(({ container }) => now - container.createdAt);
  const youngest = formatAge(ages.reduce((a, b) => Math.min(a, b)));
  const oldest = formatAge(ages.reduce((a, b) => Math.max(a, b)));
  const span = youngest === oldest ? youngest : `${youngest} to ${oldest}`;
  const title = paint.strong(count(suspects.length, 'container'));
  const verb = suspects.length === 1 ? 'looks like a leaked helper' : 'look like leaked helpers';
  return [`${title} ${verb}, ${span} old:`, ...byKindAndImage(suspects)];
}

/** `   1500  inspect-host  rancher/agent:v1.0.2`, the most first; rare images share a row. */
function byKindAndImage(suspects: readonly Suspect[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { kind, container } of suspects) {
    const key = `${kind.padEnd(12)}  ${printable(container.image)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const rest = sorted.slice(mostRows).reduce((sum, [, number]) => sum + number, 0);
  const rows = sorted.slice(0, mostRows).map(([key, number]) => `${String(number).padStart(7)}  ${key}`);
  return rest === 0 ? rows : [...rows, `${String(rest).padStart(7)}  from other images`];
}

/** A screen is short. */
const mostRows = 6;

function deadLines({ suspects }: Scan): readonly string[] {
  const dead = suspects.filter(({ kind }) => kind === 'dead');
  if (dead.length === 0) return [];
  const names = dead.map(({ container }) => printable(container.name)).join(', ');
  return [`${count(dead.length, 'dead managed container')}: ${names}`];
}

function youngLines(young: number, limits: Limits): readonly string[] {
  if (young === 0) return [];
  return [
    `Left alone: ${young} created within the last ${formatAge(limits.SWEEP_AGE)}; an upgrade may still read them.`,
  ];
}

function leakLines(scan: Scan, { stopAgent }: CleanupOptions, paint: Paint): readonly string[] {
  const { figures, oldAgent, server } = printableAll({
    ...{ figures: scan.figures, oldAgent: scan.oldAgent, server: scan.server },
  });
  if (!figures.leaking) return [];
  const lines = [
    '',
    `${paint.bad('STILL LEAKING')}: ${figures.recent} were created recently, the last one ${formatAge(figures.youngest ?? 0)} ago.`,
  ];
  if (oldAgent === undefined) {
    return [
      ...lines,
      'No agent with the legacy entrypoint runs here. To find what creates them: docker events --filter event=create',
    ];
  }
  const asked = server === undefined ? '' : `, whose upgrades ${server} requires`;
  lines.push(`They come from the loop of ${oldAgent.name} (${oldAgent.image})${asked}.`);
  if (!stopAgent)
    lines.push('With --stop-agent, cleanup stops it for the time of the cleanup and starts it again.');
  lines.push('It leaks until it is upgraded to an image with this entrypoint.');
  return lines;
}

function* dryRunLines(report: CleanupReport, paint: Paint): Generator<string> {
  let number = 0;
  for (const container of report.containers ?? []) {
    number += 1;
    yield rowOf(container);
  }
  yield* skippedLines(report);
  const total = paint.strong(`Dry run: cleanup would remove ${count(number, 'container')}`);
  yield `${total}. Nothing was removed.`;
}

function rowOf({ id, kind, state, createdAt, image, name }: ListedContainer): string {
  const created = createdAt.slice(0, 19).replace('T', ' ');
  const what = printable(kind === 'dead' ? name : image);
  return [shortId(id), kind.padEnd(12), state.padEnd(8), created, what].join('  ');
}

function summaryLines(report: CleanupReport, paint: Paint): readonly string[] {
  return [
    headline(report, paint),
    ...report.failures.flatMap((group) => failureLines(group, paint)),
    ...skippedLines(report),
    ...leftLines(report),
    ...agentLines(report, paint),
  ];
}

function headline(report: CleanupReport, paint: Paint): string {
  const { removed, failed, left, freedBytes, freedMetadataBytes: metadata, tookMs } = report;
  const ofMetadata = metadata === undefined ? '' : ` (metadata: ${formatSize(metadata)})`;
  const skipped = sumOf(report.skipped);
  const paintOf = failed > 0 ? paint.bad : left > 0 ? paint.warning : paint.good;
  const parts = [
    paintOf(`Removed ${removed}`),
    `failed ${failed}`,
    `skipped ${skipped}`,
    ...(left === 0 ? [] : [`left ${left}`]),
    ...(freedBytes === undefined ? [] : [`freed about ${formatSize(freedBytes)}${ofMetadata}`]),
    `in ${formatDuration(tookMs)}`,
  ];
  return `${parts.join(', ')}.`;
}

function failureLines(
  { cause, count: number, originalMessage, examples, holders }: FailureGroup,
  paint: Paint,
): readonly string[] {
  const { meaning, todo } = describeCause(cause);
  const ids = examples.slice(0, 3).map((id) => shortId(id));
  return [
    `${paint.bad(`${number} failed`)}: ${meaning}; ${todo}`,
    `  e.g. ${ids.join(' ')}`,
    `  message of the engine: ${printable(withShortIds(originalMessage))}`,
    ...holders.map((holder) => printable(`  held by ${describeHolder(holder)}: ${holder.mountPoint}`)),
  ];
}

function skippedLines({ skipped, young, dryRun }: CleanupReport): readonly string[] {
  const reasons = Object.entries(skipped).map(([reason, number]) => `${number} ${reason}`);
  return [
    ...(reasons.length === 0 ? [] : [`Skipped: ${reasons.join(', ')}.`]),
    ...(young === 0 || dryRun ? [] : [`Too young: ${young}; run cleanup again later.`]),
  ];
}

function leftLines({ end, left }: CleanupReport): readonly string[] {
  switch (end) {
    case 'all':
    case 'declined':
    case 'count':
    case 'time':
    case 'busy':
    case 'error':
      return [];
    case 'interrupted':
      return [`Interrupted with ${left} left; the next run removes them.`];
    case 'failures':
      return [
        `Stopped with ${left} left: too many in a row failed. Remove the cause, then run cleanup again.`,
      ];
    case 'storage':
      return [`Stopped at once with ${left} left: the storage cannot take a change.`];
    case 'away':
      return [`Stopped with ${left} left: the engine has not answered for too long.`];
  }
}

function agentLines({ leaking, oldAgent, agentRunsAgain }: CleanupReport, paint: Paint): readonly string[] {
  if (oldAgent === undefined) return [];
  const name = printable(oldAgent.name);
  if (agentRunsAgain === false) {
    return [paint.bad(`${name} could not be started again: docker start ${name}`)];
  }
  if (!leaking) return [];
  const again = agentRunsAgain === true ? ' runs again and' : '';
  return [`${name} (${printable(oldAgent.image)})${again} leaks until it is upgraded.`];
}

/** A short id is enough for any command, and a line has room for no more. */
function withShortIds(text: string): string {
  return text.replace(/[0-9a-f]{64}/g, (id) => `${shortId(id)}…`);
}

/** Rows stay as they are; text goes on below itself. */
function wrapHanging(line: string, columns: number): readonly string[] {
  const indent = /^ */.exec(line)?.[0] ?? '';
  if (visibleLength(line) < columns) return [line];
  return wrap(line.trimStart(), columns - 1 - indent.length).map((part) => `${indent}${part}`);
}

function visibleLength(line: string): number {
  return stripVTControlCharacters(line).length;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, number) => sum + number, 0);
}
