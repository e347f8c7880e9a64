import type { Limits } from '../../support/limits/limits.ts';
import { fine, unseen, type Finding } from '../finding.ts';
import type { AgentSnapshot, HostSnapshot } from '../snapshot.ts';
import { isLooping, nameOf } from './agents.ts';

/** Containers that Docker restarts again and again: agents, and unmanaged containers. */
export function checkRestarts({ containers, agents, now }: HostSnapshot, limits: Limits): readonly Finding[] {
  if (!containers.known) return [unseen('restarts', containers)];
  const findings = [...checkAgentRestarts(agents.known ? agents.value : [], now, limits)];
  const managed = new Set(
    agents.known ? agents.value.filter((agent) => agent.managed).map(({ id }) => id) : [],
  );
  const others = containers.value.filter(({ id, state }) => state === 'restarting' && !managed.has(id));
  const figures = { agents: findings.length, others: others.length };
  if (others.length > 0) {
    const named = others.slice(0, limits.DOCTOR_NAMED).map(nameOf).join(', ');
    const more =
      others.length > limits.DOCTOR_NAMED ? ` and ${others.length - limits.DOCTOR_NAMED} more` : '';
    findings.push({
      check: 'restarts',
      level: 'warning',
      text: `unmanaged, and restarting again and again: ${named}${more}`,
      cause: 'others-restart',
      advice: `It costs the engine a container start each time: docker logs --tail 50 ${others[0]?.name ?? ''}`,
      figures,
    });
  }
  return findings.length > 0
    ? findings
    : [fine('restarts', 'no container restarts again and again', figures)];
}

/** Agents that Docker restarts again and again. */
export function checkAgentRestarts(
  agents: readonly AgentSnapshot[],
  now: number,
  limits: Limits,
): readonly Finding[] {
  const looping = agents.filter((agent) => agent.managed && isLooping(agent, now, limits));
  return looping.map((agent) => ({
    check: 'restarts',
    level: 'unhealthy',
    text: `${nameOf(agent)} restarts again and again${describeRestarts(agent)}`,
    cause: 'agent-restarts',
    advice: `docker logs --tail 50 ${agent.name}`,
    figures: { agents: looping.length },
  }));
}

function describeRestarts({ restartCount, exitCode }: AgentSnapshot): string {
  return exitCode === undefined ? '' : `: ${restartCount} times, last status ${exitCode}`;
}
