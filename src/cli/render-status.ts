import { describeHolder } from '../agent/mount-holders.ts';
import type { StatusReport } from '../commands/status.ts';
import { formatDuration } from '../support/deadline.ts';

/** One screen: is this host all right, what is it doing, since when, what next. */
export function renderStatus(report: StatusReport, now: number): string {
  return [
    ...statusLines(report, now),
    '',
    ...containerLines(report),
    '',
    ...lockLines(report),
    ...attemptLines(report),
  ]
    .join('\n')
    .concat('\n');
}

function statusLines({ status }: StatusReport, now: number): string[] {
  switch (status.kind) {
    case 'missing':
      return [
        'state      unknown: this entrypoint has done nothing on this host yet, or /var/lib/rancher is not mounted',
      ];
    case 'damaged':
      return [`state      unknown: the status file can't be read: ${status.reason}`];
    case 'valid': {
      const { state, summary, since, updatedAt, said, hint, next, target, corpses } = status.status;
      return [
        `state      ${state}, for ${formatDuration(now - Date.parse(since))} (last word ${updatedAt})`,
        `           ${summary}`,
        ...line('target', target),
        ...line('said', said),
        ...line('to do', hint),
        ...line('next', next),
        ...(corpses ?? []).map(
          (corpse) => `stays      ${corpse.name} (${corpse.id.slice(0, 12)}): ${corpse.said}`,
        ),
        ...(corpses ?? []).flatMap(({ holders = [] }) =>
          holders.map((holder) => `held by    ${describeHolder(holder)}: ${holder.mountPoint}`),
        ),
      ];
    }
  }
}

function containerLines({ containers }: StatusReport): string[] {
  if ('problem' in containers) return [`containers unknown: ${containers.problem}`];
  if (containers.length === 0) return ['containers none in any role'];
  return containers.map(
    ({ role, name, id, image, state }, index) =>
      `${index === 0 ? 'containers' : '          '} ${role.padEnd(12)} ${state.padEnd(10)} ${name} (${id.slice(0, 12)}) ${image}`,
  );
}

function lockLines({ lock }: StatusReport): string[] {
  if ('problem' in lock) return [`lock       unknown: ${lock.problem}`];
  if (lock.state === 'free') return ['lock       free'];
  const owner = lock.owner === undefined ? 'nobody known' : `${lock.owner.command} since ${lock.owner.since}`;
  return [`lock       ${lock.state} by ${owner}, touched ${formatDuration(lock.untouchedMs)} ago`];
}

function attemptLines({ attempts }: StatusReport): string[] {
  return attempts.map(
    ({ image, failures, nextAt }) =>
      `attempts   ${image}: ${failures} failed${nextAt === undefined ? '' : `, not before ${nextAt}`}`,
  );
}

function line(name: string, text: string | undefined): string[] {
  return text === undefined ? [] : [`${name.padEnd(10)} ${text}`];
}
