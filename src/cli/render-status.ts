import { describeHolder } from '../agent/transaction/mount-holders.ts';
import type { RoleHolder, StatusReport } from '../doctor/status-report.ts';
import { shortId } from '../engine/containers.ts';
import type { HostState } from '../host/files/status.ts';
import { describeObserved, knownServing } from '../agent/run/serving/known.ts';
import { plainHttpRisk } from '../control-plane/transport.ts';
import { formatAge, formatDuration } from '../support/deadline.ts';
import { printableAll } from '../support/printable.ts';
import type { Terminal } from '../support/terminal.ts';
import { createPaint, type Paint } from './paint.ts';
import { table } from './wrap.ts';

type Row = readonly [name: string, text: string];
/** The longest name is `containers`. */
const nameWidth = 9;

/** One screen: is this host healthy, what does it do, since when, what next. */
export function renderStatus(
  found: StatusReport,
  now: number,
  terminal: Pick<Terminal, 'columns' | 'colour'>,
): string {
  const report = printableAll(found);
  const paint = createPaint(terminal.colour);
  const blocks: readonly (readonly Row[])[] = [
    [['host', report.text]],
    [...statusRows(report, now), ...servingRows(report, now), ...transportRows(report)],
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
  const { status, text, checkedAt } = printableAll(report);
  const state = 'status' in status ? `${status.status.state}: ${status.status.summary}` : 'unknown';
  return `${checkedAt} ${text} | ${state}\n`;
}

function statusRows({ status }: StatusReport, now: number): readonly Row[] {
  if ('problem' in status) return [['state', `unknown: ${status.problem}`]];
  switch (status.kind) {
    case 'missing':
      return [['state', 'unknown: this entrypoint has done nothing on this host yet']];
    case 'damaged':
      return [['state', `unknown: cannot read the status file: ${status.reason}`]];
    case 'valid': {
      const {
        state,
        summary,
        since,
        updatedAt,
        lastSuccessAt,
        cause,
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
          `${state}, for ${formatDuration(Math.max(0, now - Date.parse(since)))} (last update ${updatedAt})`,
        ],
        ['', summary],
        ...row('target', target),
        ...row('asked by', askedBy),
        ...row('cause', cause),
        ...row('message', originalMessage),
        ...row('to do', hint),
        ...row('next', next),
        ...row('last ok', lastOk),
        ...lastLog.map((line, index): Row => [index === 0 ? 'its log' : '', line]),
        ...unremovable.flatMap(({ name, id, originalMessage, holders = [] }): Row[] => [
          ['stays', `${name} (${shortId(id)}): ${originalMessage}`],
          ...holders.map((holder): Row => ['held by', `${describeHolder(holder)}: ${holder.mountPoint}`]),
        ]),
      ];
    }
  }
}

/** A record of another container, or one that is not updated any more, proves nothing. */
function servingRows({ serving, containers }: StatusReport, now: number): readonly Row[] {
  if ('problem' in serving) return [['serving', `unknown: ${serving.problem}`]];
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

/** The server by its scheme, host and port; nothing where it is not known: other rows say why. */
function transportRows({ transport }: StatusReport): readonly Row[] {
  if ('problem' in transport) return [];
  const { origin, plainHttp, accepted } = transport;
  if (!plainHttp) return [['server', origin]];
  return [
    ['server', accepted ? `${origin} (plain http, accepted)` : `WARNING: ${origin} is ${plainHttpRisk}`],
  ];
}

function isRunningAgent({ role, state, managed }: RoleHolder): boolean {
  return managed && (role === 'agent' || role === 'legacy agent') && state === 'running';
}

/** An image that does not fit beside its container goes below it: with a registry its name is long. */
function containerRows({ containers }: StatusReport, columns: number): readonly Row[] {
  if ('problem' in containers) return [['containers', `unknown: ${containers.problem}`]];
  if (containers.length === 0) return [['containers', 'none in any role']];
  const widest = Math.max(...containers.map(({ role }) => role.length));
  return containers.flatMap(({ role, name, id, image, state, managed }, index): Row[] => {
    const title = index === 0 ? 'containers' : '';
    const whose = managed ? '' : ', not managed';
    const text = `${role.padEnd(widest)} ${state.padEnd(8)} ${name} (${shortId(id)}${whose})`;
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
  const owner =
    lock.owner === undefined ? 'an unknown owner' : `${lock.owner.command} since ${lock.owner.since}`;
  return [['lock', `${lock.state} by ${owner}, touched ${formatDuration(lock.untouchedMs)} ago`]];
}

function attemptRows({ attempts }: StatusReport, now: number): readonly Row[] {
  if ('problem' in attempts) return [['attempts', `unknown: ${attempts.problem}`]];
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
  return [['leaked', `${leaks.total} helpers of the legacy entrypoint, ${rate}; see doctor`]];
}

function row(name: string, text: string | undefined): readonly Row[] {
  return text === undefined ? [] : [[name, text]];
}

const verdictColours: Readonly<Record<StatusReport['verdict'], keyof Paint>> = {
  healthy: 'good',
  warnings: 'warning',
  unhealthy: 'bad',
  unknown: 'bad',
};

const stateColours: Readonly<Record<HostState, keyof Paint>> = {
  ok: 'good',
  working: 'strong',
  deferred: 'warning',
  degraded: 'warning',
  failed: 'bad',
};

/** Colours come last: they have no width, and wrapping must not count them. */
function colourVerdict(text: string, { verdict, status }: StatusReport, paint: Paint): string {
  const first = text.indexOf('\n');
  const headline = paint[verdictColours[verdict]](text.slice(0, first));
  const rest = text.slice(first);
  if (!('status' in status)) return headline + rest;
  const { state } = status.status;
  return (
    headline + rest.replace(`\nstate      ${state},`, `\nstate      ${paint[stateColours[state]](state)},`)
  );
}
