import type { HostStatus } from '../../host/files/status.ts';
import { formatAge } from '../../support/deadline.ts';
import { causeReported, fine, unseen, type Finding, type Level } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';
import { isAtWork } from './agents.ts';
import { workerDied } from './lock-and-key.ts';

type Snapshot = Pick<HostSnapshot, 'status' | 'agents' | 'lock' | 'attempts' | 'now'>;

/** What this entrypoint last reported about the host, and what it does next. */
export function checkState(snapshot: Snapshot): readonly Finding[] {
  const { status: seen, now } = snapshot;
  if (!seen.known) return [unseen('state', seen)];
  switch (seen.value.kind) {
    case 'missing':
      return [fine('state', 'nothing reported yet: this entrypoint has done nothing here')];
    case 'damaged':
      return [
        {
          check: 'state',
          level: 'warning',
          text: `cannot read the status file: ${seen.value.reason}`,
          cause: 'status-damaged',
          advice: 'Nothing depends on it; the next upgrade writes it again.',
        },
      ];
    case 'valid':
      return [checkStatus(seen.value.status, snapshot, now)];
  }
}

const levels: Readonly<Record<HostStatus['state'], Level>> = {
  ok: 'ok',
  working: 'ok',
  deferred: 'warning',
  degraded: 'warning',
  failed: 'unhealthy',
};

function checkStatus(status: HostStatus, snapshot: Snapshot, now: number): Finding {
  const { state, summary, since, hint } = status;
  const next = describeNext(status, snapshot, now);
  const text = `${state} for ${formatAge(now - Date.parse(since))}: ${summary}`;
  const figures = { state };
  if (state === 'working' && !mayBeAtWork(snapshot)) {
    const advice =
      'The agent reconciles the host within 5 minutes; to do it at once: docker restart rancher-agent.';
    const text = `working for ${formatAge(now - Date.parse(since))}, but no worker runs any more: ${summary}`;
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

/** Whether a worker may run: without the engine this is unknown, and the lock alone is enough. */
function mayBeAtWork(snapshot: Snapshot): boolean {
  const { lock, agents } = snapshot;
  return !agents.known || isAtWork(snapshot) || (lock.known && lock.value.state === 'held');
}

function describeNext(status: HostStatus, { attempts }: Snapshot, now: number): string | undefined {
  const times = [status.nextAttemptAt, ...(attempts.known ? attempts.value.map(({ nextAt }) => nextAt) : [])]
    .filter((time) => time !== undefined)
    .map((time) => Date.parse(time))
    .filter((time) => time > now);
  if (times.length > 0) return `next attempt in ${formatAge(Math.min(...times) - now)}`;
  return status.next === undefined ? undefined : `next: ${status.next}`;
}
