import { describeHolder } from '../agent/transaction/mount-holders.ts';
import type { HostVerdict, RoleHolder } from '../commands/status-report.ts';
import type { StatusReport } from '../commands/status-report.ts';
import type { HostState } from '../host/files/status.ts';
import { describeObserved, knownServing } from '../agent/run/serving/known.ts';
import { formatAge, formatDuration } from '../support/deadline.ts';
import type { Terminal } from '../support/terminal.ts';
import { createPaint, type Paint } from './paint.ts';
import { table } from './wrap.ts';

type Row = readonly [name: string, text: string];
/** The longest name is `containers`. */
const nameWidth = 9;

/** One screen: is this host all right, what is it doing, since when, what next. */
export function renderStatus(
  report: StatusReport,
  now: number,
  terminal: Pick<Terminal, 'columns' | 'colour'>,
): string {
  const paint = createPaint(terminal.colour);
  const blocks: readonly (readonly Row[])[] = [
    [['host', report.verdict.sentence]],
    [...statusRows(report, now), ...servingRows(report, now)],
    containerRows(report, terminal.columns),
    [...lockRows(report), ...attemptRows(report, now), ...leakRows(report)],
  ];
  const lines = blocks
    .map((rows) => table(rows, { columns: terminal.columns, indent: 0, nameWidth }).join('\n'))
    .join('\n\n');
  return `${colourVerdict(lines, report, paint)}\n`;
}

/** One line for a change, where there is no screen to draw on. */
export function renderChange(report: StatusReport): string {
  const { status, verdict, checkedAt } = report;
  const state = status.kind === 'valid' ? `${status.status.state}: ${status.status.summary}` : 'unknown';
  return `${checkedAt} ${verdict.sentence} | ${state}\n`;
}

function statusRows({ status }: StatusReport, now: number): readonly Row[] {
  switch (status.kind) {
    case 'missing':
      return [
        [
          'state',
          'unknown: this entrypoint has done nothing on this host yet, or /var/lib/rancher is not mounted',
        ],
      ];
    case 'damaged':
      return [['state', `unknown: the status file can't be read: ${status.reason}`]];
    case 'valid': {
      const {
        state,
        summary,
        since,
        updatedAt,
        lastSuccessAt,
        originalMessage,
        hint,
        next,
        target,
        unremovable = [],
        lastLog = [],
        askedBy,
      } = status.status;
      const lastOk =
        lastSuccessAt === undefined || state === 'ok'
          ? undefined
          : `${formatAge(now - Date.parse(lastSuccessAt))} ago`;
      return [
        [
          'state',
          `${state}, for ${formatDuration(Math.max(0, now - Date.parse(since)))} (last word ${updatedAt})`,
        ],
        ['', summary],
        ...row('target', target),
        ...row('asked by', askedBy),
        ...row('message', originalMessage),
        ...row('to do', hint),
        ...row('next', next),
        ...row('last ok', lastOk),
        ...lastLog.map((line, index): Row => [index === 0 ? 'its log' : '', line]),
        ...unremovable.flatMap(({ name, id, originalMessage, holders = [] }): Row[] => [
          ['stays', `${name} (${id.slice(0, 12)}): ${originalMessage}`],
          ...holders.map((holder): Row => ['held by', `${describeHolder(holder)}: ${holder.mountPoint}`]),
        ]),
      ];
    }
  }
}

/** Of another container's record, and of one that nobody keeps any more, it says that nothing is known. */
function servingRows({ serving, containers }: StatusReport, now: number): readonly Row[] {
  const agents = 'problem' in containers ? undefined : containers.filter(isRunningAgent).map(({ id }) => id);
  const known = knownServing(serving, agents);
  const title = known.serving === 'unknown' ? 'unknown' : known.serving;
  const since = known.record === undefined ? '' : `, for ${formatAge(now - Date.parse(known.record.since))}`;
  const why = known.serving === 'yes' ? '' : `: ${known.message}`;
  return [
    ['serving', `${title}${since}${why}`],
    ...(known.record === undefined ? [] : [['', describeObserved(known.record, now)] as const]),
  ];
}

function isRunningAgent({ role, state }: RoleHolder): boolean {
  return (role === 'agent' || role === 'legacy agent') && state === 'running';
}

/** What doesn't fit beside its container goes below it: an image's name is long behind a registry. */
function containerRows({ containers }: StatusReport, columns: number): readonly Row[] {
  if ('problem' in containers) return [['containers', `unknown: ${containers.problem}`]];
  if (containers.length === 0) return [['containers', 'none in any role']];
  const widest = Math.max(...containers.map(({ role }) => role.length));
  return containers.flatMap(({ role, name, id, image, state }, index): Row[] => {
    const title = index === 0 ? 'containers' : '';
    const text = `${role.padEnd(widest)} ${state.padEnd(8)} ${name} (${id.slice(0, 12)})`;
    if (nameWidth + 2 + text.length + 1 + image.length <= columns) return [[title, `${text} ${image}`]];
    return [
      [title, text],
      ['', `${' '.repeat(widest + 10)}${image}`],
    ];
  });
}

function lockRows({ lock }: StatusReport): readonly Row[] {
  if ('problem' in lock) return [['lock', `unknown: ${lock.problem}`]];
  if (lock.state === 'free') return [['lock', 'free']];
  const owner = lock.owner === undefined ? 'nobody known' : `${lock.owner.command} since ${lock.owner.since}`;
  return [['lock', `${lock.state} by ${owner}, touched ${formatDuration(lock.untouchedMs)} ago`]];
}

function attemptRows({ attempts }: StatusReport, now: number): readonly Row[] {
  return attempts.map(({ image, failures, nextAt }) => {
    const next = nextAt === undefined ? '' : `, next in ${formatAge(Date.parse(nextAt) - now)}`;
    return ['attempts', `${image}: ${failures} failed${next}`];
  });
}

function leakRows({ leaks }: StatusReport): readonly Row[] {
  if ('problem' in leaks) return [['leaked', `unknown: ${leaks.problem}`]];
  if (leaks.total === 0) return [];
  const rate = leaks.leaking
    ? `${leaks.lastHour} in the last hour, STILL LEAKING`
    : `the last one ${formatAge(leaks.youngest ?? 0)} ago`;
  return [['leaked', `${leaks.total} helpers of older entrypoints, ${rate}; see doctor`]];
}

function row(name: string, text: string | undefined): readonly Row[] {
  return text === undefined ? [] : [[name, text]];
}

const verdictColours: Readonly<Record<HostVerdict['word'], keyof Paint>> = {
  well: 'good',
  busy: 'strong',
  look: 'warning',
  bad: 'bad',
  unknown: 'bad',
};

const stateColours: Readonly<Record<HostState, keyof Paint>> = {
  ok: 'good',
  working: 'strong',
  deferred: 'warning',
  degraded: 'warning',
  failed: 'bad',
};

/** Colours go on last: they have no width, which whoever breaks lines must not count. */
function colourVerdict(text: string, { verdict, status }: StatusReport, paint: Paint): string {
  const first = text.indexOf('\n');
  const headline = paint[verdictColours[verdict.word]](text.slice(0, first));
  const rest = text.slice(first);
  if (status.kind !== 'valid') return headline + rest;
  const { state } = status.status;
  return (
    headline + rest.replace(`\nstate      ${state},`, `\nstate      ${paint[stateColours[state]](state)},`)
  );
}
