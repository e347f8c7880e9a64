import { describeHolder } from '../agent/transaction/mount-holders.ts';
import type { CleanupOptions } from '../commands/cleanup.ts';
import { formatSize } from '../host/storage.ts';
import { describeCause } from '../cleanup/causes.ts';
import type { CleanupReport, HeldGroup } from '../cleanup/report.ts';
import type { Suspect } from '../cleanup/leaks.ts';
import type { Survey } from '../cleanup/scan.ts';
import { formatAge, formatDuration } from '../support/deadline.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Terminal } from '../support/terminal.ts';
import { createPaint, type Paint } from './paint.ts';
import { wrap } from './wrap.ts';

interface View {
  readonly terminal: Pick<Terminal, 'columns' | 'colour'>;
  readonly limits: Limits;
}

/** What was found, before anything is asked or removed. */
export function renderCleanupPlan(
  survey: Survey,
  options: CleanupOptions,
  view: View & { readonly now: number },
): string {
  const paint = createPaint(view.terminal.colour);
  const lines = [
    ...foundLines(survey, view.now, paint),
    ...deadLines(survey),
    ...youngLines(survey.young, view.limits),
    ...leakLines(survey, options, paint),
  ];
  return lines
    .flatMap((line) => wrapHanging(line, view.terminal.columns))
    .join('\n')
    .concat('\n');
}

/** How it ended. */
export function renderCleanupReport(report: CleanupReport, view: View): string {
  const paint = createPaint(view.terminal.colour);
  if (report.end === 'declined') return 'Nothing was removed.\n';
  const lines = report.dryRun ? dryRunLines(report, paint) : summaryLines(report, paint);
  return lines
    .flatMap((line) => wrapHanging(line, view.terminal.columns))
    .join('\n')
    .concat('\n');
}

function foundLines({ suspects }: Survey, now: number, paint: Paint): readonly string[] {
  const [first] = suspects;
  if (first === undefined) return ['No leaked helpers of older entrypoints.'];
  const ages = suspects.map(({ container }) => now - container.createdAt);
  const youngest = formatAge(ages.reduce((a, b) => Math.min(a, b)));
  const oldest = formatAge(ages.reduce((a, b) => Math.max(a, b)));
  const span = youngest === oldest ? youngest : `${youngest} to ${oldest}`;
  const title = paint.strong(count(suspects.length, 'container'));
  const look = suspects.length === 1 ? 'looks like a leaked helper' : 'look like leaked helpers';
  return [`${title} ${look}, ${span} old:`, ...byKindAndImage(suspects)];
}

/** `   1500  inspect-host  rancher/agent:v1.0.2`, the most first; images that few have are put together. */
function byKindAndImage(suspects: readonly Suspect[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { kind, container } of suspects) {
    const key = `${kind.padEnd(12)}  ${container.image}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  const rest = sorted.slice(mostRows).reduce((sum, [, number]) => sum + number, 0);
  const rows = sorted.slice(0, mostRows).map(([key, number]) => `${String(number).padStart(7)}  ${key}`);
  return rest === 0 ? rows : [...rows, `${String(rest).padStart(7)}  of other images`];
}

/** A screen is short. */
const mostRows = 6;

function deadLines({ dead }: Survey): readonly string[] {
  if (dead.length === 0) return [];
  const names = dead.map(({ name }) => name).join(', ');
  return [`${count(dead.length, 'dead container')} of ours: ${names}`];
}

function youngLines(young: number, limits: Limits): readonly string[] {
  if (young === 0) return [];
  return [
    `Left alone: ${young} made within the last ${formatAge(limits.SWEEP_AGE)}; an upgrade may still read them.`,
  ];
}

function leakLines(survey: Survey, { stopAgent }: CleanupOptions, paint: Paint): readonly string[] {
  const { figures, oldAgent, server } = survey;
  if (!figures.leaking) return [];
  const lines = [
    '',
    `${paint.bad('STILL LEAKING')}: ${figures.recent} were made of late, the last one ${formatAge(figures.youngest ?? 0)} ago.`,
  ];
  if (oldAgent === undefined) {
    return [
      ...lines,
      'No agent of an older entrypoint runs here. Who makes them? docker events --filter event=create',
    ];
  }
  const asked = server === undefined ? '' : `, asked by ${server}`;
  lines.push(`They come from the loop of ${oldAgent.name} (${oldAgent.image})${asked}.`);
  if (!stopAgent)
    lines.push('With --stop-agent it is stopped for the time of the clean-up and started again.');
  lines.push('It leaks until it is upgraded to an image with this entrypoint.');
  return lines;
}

function dryRunLines(report: CleanupReport, paint: Paint): readonly string[] {
  const { containers = [] } = report;
  const rows = containers.map(({ id, kind, state, createdAt, image, name }) =>
    [
      id.slice(0, 12),
      kind.padEnd(12),
      state.padEnd(8),
      createdAt.slice(0, 19).replace('T', ' '),
      kind === 'dead' ? name : image,
    ].join('  '),
  );
  const total = count(containers.length, 'container');
  return [
    ...rows,
    ...skippedLines(report),
    `${paint.strong(`Dry run: ${total} would be removed`)}, nothing was.`,
  ];
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
  const { removed, failed, left, freedBytes, tookMs } = report;
  const skipped = sumOf(report.skipped);
  const paintOf = failed > 0 ? paint.bad : left > 0 ? paint.warning : paint.good;
  const parts = [
    paintOf(`Removed ${removed}`),
    `failed ${failed}`,
    `skipped ${skipped}`,
    ...(left === 0 ? [] : [`left ${left}`]),
    ...(freedBytes === undefined ? [] : [`freed about ${formatSize(freedBytes)}`]),
    `in ${formatDuration(tookMs)}`,
  ];
  return `${parts.join(', ')}.`;
}

function failureLines(
  { cause, count: number, originalMessage, examples, holders }: HeldGroup,
  paint: Paint,
): readonly string[] {
  const { meaning, todo } = describeCause(cause);
  const ids = examples.slice(0, 3).map((id) => id.slice(0, 12));
  return [
    `${paint.bad(`${number} failed`)}: ${meaning}; ${todo}`,
    `  e.g. ${ids.join(' ')}`,
    `  the engine says: ${withShortIds(originalMessage)}`,
    ...holders.map((holder) => `  held by ${describeHolder(holder)}: ${holder.mountPoint}`),
  ];
}

function skippedLines({ skipped, young, dryRun }: CleanupReport): readonly string[] {
  const reasons = Object.entries(skipped).map(([because, number]) => `${number} ${because}`);
  return [
    ...(reasons.length === 0 ? [] : [`Skipped: ${reasons.join(', ')}.`]),
    ...(young === 0 || dryRun ? [] : [`Too young to be judged: ${young}; run cleanup again later.`]),
  ];
}

function leftLines({ end, left }: CleanupReport): readonly string[] {
  switch (end) {
    case 'all':
    case 'declined':
      return [];
    case 'interrupted':
      return [`Stopped with ${left} left; the next run goes on.`];
    case 'failures':
      return [`Ended with ${left} left: too many in a row failed. Cure the cause, then run cleanup again.`];
    case 'away':
      return [`Ended with ${left} left: the engine has not answered for too long.`];
  }
}

function agentLines({ leaking, oldAgent, agentRunsAgain }: CleanupReport, paint: Paint): readonly string[] {
  if (oldAgent === undefined) return [];
  if (agentRunsAgain === false) {
    return [paint.bad(`${oldAgent.name} could not be started again: docker start ${oldAgent.name}`)];
  }
  if (!leaking) return [];
  const again = agentRunsAgain === true ? ' runs again and' : '';
  return [`${oldAgent.name} (${oldAgent.image})${again} will leak until it is upgraded.`];
}

/** Twelve digits of an id are enough for any command, and a line has room for no more. */
function withShortIds(text: string): string {
  return text.replace(/[0-9a-f]{64}/g, (id) => `${id.slice(0, 12)}…`);
}

/** Rows stay as they are; text goes on below itself. */
function wrapHanging(line: string, columns: number): readonly string[] {
  const indent = /^ */.exec(line)?.[0] ?? '';
  if (visibleLength(line) < columns) return [line];
  return wrap(line.trimStart(), columns - 1 - indent.length).map((part) => `${indent}${part}`);
}

function visibleLength(line: string): number {
  return line.replace(/\u001B\[\d+m/g, '').length;
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function sumOf(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((sum, number) => sum + number, 0);
}
