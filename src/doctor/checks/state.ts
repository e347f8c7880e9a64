import type { HostStatus } from '../../host/files/status.ts';
import { formatAge } from '../../support/deadline.ts';
import { causeReported, fine, unseen, type Finding, type Level } from '../finding.ts';
import type { HostRecord } from '../snapshot.ts';
import { isAtWork } from './agents.ts';
import { workerDied } from './host.ts';

/** What this entrypoint last said about the host, and what it does next. */
export function checkState(record: HostRecord): readonly Finding[] {
  const { status: seen, now } = record;
  if (!seen.known) return [unseen('state', seen)];
  switch (seen.value.kind) {
    case 'missing':
      return [fine('state', 'nothing said yet: this entrypoint has done nothing here')];
    case 'damaged':
      return [
        {
          check: 'state',
          level: 'warning',
          text: `the status file can't be read: ${seen.value.reason}`,
          cause: 'status-damaged',
          advice: 'Nothing goes by it; the next upgrade writes it anew.',
        },
      ];
    case 'valid':
      return [judgeStatus(seen.value.status, record, now)];
  }
}

const levels: Readonly<Record<HostStatus['state'], Level>> = {
  ok: 'ok',
  working: 'ok',
  deferred: 'warning',
  degraded: 'warning',
  failed: 'unhealthy',
};

function judgeStatus(status: HostStatus, record: HostRecord, now: number): Finding {
  const { state, summary, since, hint } = status;
  const next = describeNext(status, record, now);
  const text = `${state} for ${formatAge(now - Date.parse(since))}: ${summary}`;
  const figures = { state };
  if (state === 'working' && !isSomebodyAtWork(record)) {
    const advice = 'The agent has it settled within 5 minutes; at once with docker restart rancher-agent.';
    const text = `working for ${formatAge(now - Date.parse(since))}, but nobody is at work any more: ${summary}`;
    return { check: 'state', level: 'warning', text, cause: workerDied, advice, figures };
  }
  const level = levels[state];
  if (level === 'ok')
    return { ...fine('state', text, figures), ...(next === undefined ? {} : { details: [next] }) };
  return {
    check: 'state',
    level,
    text,
    cause: causeReported(status.cause ?? state),
    advice: hint ?? 'See the runbook, "Where do I begin?".',
    ...(next === undefined ? {} : { details: [next] }),
    figures,
  };
}

/** Without the engine nobody can tell; the lock alone is enough. */
function isSomebodyAtWork(record: HostRecord): boolean {
  const { lock, agents } = record;
  return !agents.known || isAtWork(record) || (lock.known && lock.value.state === 'held');
}

function describeNext(status: HostStatus, { attempts }: HostRecord, now: number): string | undefined {
  const times = [status.nextAttemptAt, ...(attempts.known ? attempts.value.map(({ nextAt }) => nextAt) : [])]
    .filter((time) => time !== undefined)
    .map((time) => Date.parse(time))
    .filter((time) => time > now);
  if (times.length > 0) return `next attempt in ${formatAge(Math.min(...times) - now)}`;
  return status.next === undefined ? undefined : `next: ${status.next}`;
}
