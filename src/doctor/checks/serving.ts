import { agentNotConnected, servingUnknown, starting } from '../../agent/run/serving/causes.ts';
import { describeObserved, knownServing } from '../../agent/run/serving/known.ts';
import { formatAge } from '../../support/deadline.ts';
import { causeReported, fine, unseen, type Figures, type Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';
import { activeRoles } from './agents.ts';

/** Whether the active agent serves, as it reports itself. An agent that does not run does not serve: see the check `agents`. */
export function checkServing(snapshot: Pick<HostSnapshot, 'serving' | 'agents' | 'now'>): readonly Finding[] {
  const { serving: seen, agents, now } = snapshot;
  if (!seen.known) return [unseen('serving', seen)];
  const running = agents.known
    ? agents.value.filter(
        ({ state, role, managed }) => managed && state === 'running' && activeRoles.includes(role),
      )
    : undefined;
  if (running?.length === 0) return [];
  const known = knownServing(
    seen.value,
    running?.map(({ id }) => id),
  );
  const { serving, cause, message, record: kept } = known;
  const figures: Figures = { serving, ...figuresOf(kept) };
  const details = kept === undefined ? {} : { details: [describeObserved(kept, now)] };
  if (serving === 'yes' && kept !== undefined) {
    const since = formatAge(now - Date.parse(kept.since));
    return [{ ...fine('serving', `the agent serves, for ${since}: ${kept.server}`, figures), ...details }];
  }
  if (serving === 'no') return [notServing(cause ?? 'not-serving', message, { ...details, figures })];
  if (cause === starting) {
    return [{ ...fine('serving', `unknown yet: ${message}`, figures), ...details }];
  }
  if (cause === servingUnknown) {
    const advice =
      'The server shows whether this host is active. Without CATTLE_EXEC_AGENT the agent reports it.';
    const text = `whether the agent serves is unknown: ${message}`;
    return [{ check: 'serving', level: 'warning', text, cause: servingUnknown, advice, figures, ...details }];
  }
  if (cause === agentNotConnected) {
    const text = `whether the agent serves is unknown: ${message}`;
    const advice =
      'See where the script waits: docker logs --tail 100 rancher-agent. To start it again: docker restart rancher-agent; your containers keep running.';
    return [{ check: 'serving', level: 'unhealthy', text, cause, advice, figures, ...details }];
  }
  return [{ check: 'serving', level: 'unknown', text: `unknown: ${message}`, figures }];
}

function notServing(cause: string, message: string, parts: Pick<Finding, 'details' | 'figures'>): Finding {
  return {
    check: 'serving',
    level: 'unhealthy',
    text: `the agent runs, but does not serve: ${message}`,
    cause: causeReported(cause),
    advice: adviceFor(cause),
    ...parts,
  };
}

function adviceFor(cause: string): string {
  switch (cause) {
    case 'keys-revoked':
      return 'Register the host again, with the command of "Add Host"; then docker restart rancher-agent.';
    case 'bootstrap-fails':
      return 'Read the log of the script: docker logs --tail 100 rancher-agent; or have the server require another image.';
    case 'no-bash':
      return 'Have the server require an image that has bash.';
    case 'no-room-for-bootstrap':
      return 'Free space or inodes: see the runbook, "The storage is low".';
    default:
      return 'Your containers keep running; the agent tries again automatically. See the runbook, "The server cannot be reached".';
  }
}

function figuresOf(kept: ReturnType<typeof knownServing>['record']): Figures {
  if (kept === undefined) return {};
  const { lastAnswerAt, bootstrap } = kept;
  return {
    ...(lastAnswerAt === undefined ? {} : { lastAnswerAt }),
    ...(bootstrap.runningSince === undefined ? {} : { bootstrapRunningSince: bootstrap.runningSince }),
    failuresInARow: bootstrap.failuresInARow,
  };
}
