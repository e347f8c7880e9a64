import type { Limits } from '../../support/limits/limits.ts';
import { fine, unseen, type Finding } from '../finding.ts';
import type { HostRecord } from '../snapshot.ts';
import { isLooping, nameOf } from './agents.ts';

/** Containers that Docker restarts again and again: the agent, or somebody else's. */
export function checkRestarts({ containers, agents, now }: HostRecord, limits: Limits): readonly Finding[] {
  if (!containers.known) return [unseen('restarts', containers)];
  const looping = agents.known
    ? agents.value.filter((agent) => agent.managed && isLooping(agent, now, limits))
    : [];
  const managed = new Set(looping.map(({ id }) => id));
  const others = containers.value.filter(({ id, state }) => state === 'restarting' && !managed.has(id));
  const figures = { agents: looping.length, others: others.length };
  const findings: Finding[] = looping.map((agent) => ({
    check: 'restarts',
    level: 'unhealthy',
    text: `${nameOf(agent)} restarts again and again: ${agent.restartCount} times, last status ${agent.exitCode}`,
    cause: 'agent-restarts',
    advice: `docker logs --tail 50 ${agent.name}`,
    figures,
  }));
  if (others.length > 0) {
    const named = others.slice(0, limits.DOCTOR_NAMED).map(nameOf).join(', ');
    const more =
      others.length > limits.DOCTOR_NAMED ? ` and ${others.length - limits.DOCTOR_NAMED} more` : '';
    findings.push({
      check: 'restarts',
      level: 'warning',
      text: `not ours, and restarting again and again: ${named}${more}`,
      cause: 'others-restart',
      advice: `It costs the engine a container start each time: docker logs --tail 50 ${others[0]?.name ?? ''}`,
      figures,
    });
  }
  return findings.length > 0
    ? findings
    : [fine('restarts', 'no container restarts again and again', figures)];
}
