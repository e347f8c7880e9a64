import type { ContainerSummary } from '../../engine/engine.ts';
import { formatAge } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { DoctorCause } from '../causes.ts';
import { fine, unseen, type Finding } from '../finding.ts';
import type { AgentRecord, HostRecord } from '../snapshot.ts';

/** Whether this host has one agent, and it runs. */
export function checkAgents(record: HostRecord, limits: Limits): readonly Finding[] {
  const { agents } = record;
  if (!agents.known) return [unseen('agents', agents)];
  const worker = workerAtWork(record);
  if (worker !== undefined) {
    const age = worker.startedAt === undefined ? '' : ` for ${formatAge(record.now - worker.startedAt)}`;
    const words = `a worker has been registering or replacing the agent${age}: docker logs ${worker.name}`;
    return [fine('agents', words)];
  }
  if (isBeingCleaned(agents.value)) {
    return [fine('agents', 'a clean-up has stopped the agent; its agent restarter starts it again')];
  }
  const acting = agents.value.filter((agent) => agent.managed && actingRoles.includes(agent.role));
  const running = acting.filter((agent) => agent.state === 'running');
  const findings = [
    judgeHanging(agents.value),
    checkActiveAgent(record, agents.value, running, limits),
    judgeRunning(running),
    judgeLeftOver(agents.value),
    checkDead(agents.value),
  ].filter((finding) => finding !== undefined);
  return findings.length > 0
    ? findings
    : running.slice(0, 1).map((agent) => describeHealthy(agent, record.now));
}

/** Whether a worker runs: until it ends nothing about agents is for good. */
export function isAtWork(record: HostRecord): boolean {
  return workerAtWork(record) !== undefined;
}

function workerAtWork({ agents }: HostRecord): AgentRecord | undefined {
  if (!agents.known) return undefined;
  return agents.value.find(({ role, state, managed }) => managed && role === 'worker' && state === 'running');
}

/** Whether somebody is there who starts the agent again when a clean-up is done. */
function isBeingCleaned(agents: readonly AgentRecord[]): boolean {
  const isStopped = !agents.some(
    ({ role, state, managed }) => managed && role === 'agent' && state === 'running',
  );
  return (
    isStopped &&
    agents.some(({ role, state, managed }) => managed && role === 'agent-restarter' && state === 'running')
  );
}

/** Whether an agent restarts again and again, rather than having been restarted. */
export function isLooping(agent: AgentRecord, now: number, limits: Limits): boolean {
  if (agent.state === 'restarting') return true;
  const isYoung = agent.startedAt !== undefined && now - agent.startedAt < limits.RESTART_LOOP_WINDOW;
  return agent.state === 'running' && agent.restartCount >= limits.RESTART_LOOP && isYoung;
}

/** `rancher-agent (42e2c12f76e6)` */
export function nameOf({ name, id }: Pick<ContainerSummary, 'name' | 'id'>): string {
  return name === '' || id.startsWith(name) ? id.slice(0, 12) : `${name} (${id.slice(0, 12)})`;
}

/** Roles in which a running container acts as an agent; those set aside or to come stand by. */
const actingRoles: readonly AgentRecord['role'][] = ['agent', 'legacy agent', 'other'];

/** The engine is well, but not with this one. */
function judgeHanging(agents: readonly AgentRecord[]): Finding | undefined {
  const hanging = agents.filter(({ hangs, managed }) => hangs && managed);
  if (hanging.length === 0) return undefined;
  return unhealthy('agent-hangs', `the engine does not answer about ${hanging.map(nameOf).join(', ')}`, {
    advice: 'Its shim is stuck: see the runbook, "The engine does not answer".',
    figures: { hanging: hanging.length },
  });
}

function checkActiveAgent(
  { now }: HostRecord,
  agents: readonly AgentRecord[],
  running: readonly AgentRecord[],
  limits: Limits,
): Finding | undefined {
  const active =
    agents.find(({ role, managed }) => role === 'agent' && managed) ??
    agents.find(({ role, managed }) => role === 'legacy agent' && managed);
  if (running.length > 0) return undefined;
  if (active !== undefined && isLooping(active, now, limits)) return undefined;
  if (active !== undefined) return describeStopped(active, now);
  const unmanaged = agents.find(({ role, managed }) => role === 'agent' && !managed);
  if (unmanaged !== undefined) {
    return unhealthy(
      'agent-unmanaged',
      `${nameOf(unmanaged)} has the agent's name and is not one (${unmanaged.image})`,
      {
        advice: `See the runbook, "An unmanaged container has the agent's name".`,
      },
    );
  }
  const standing = agents.find(({ role, managed }) => managed && (role === 'next' || role === 'previous'));
  if (standing !== undefined) {
    return unhealthy('no-agent', `no agent; there is ${nameOf(standing)}, ${standing.state}`, {
      advice: `docker start ${standing.name}: it stands by, and has a worker give it the agent's name.`,
    });
  }
  return unhealthy('no-agent', 'there is no agent on this host', {
    advice: 'Register the host: docker run … IMAGE with the URL of "Add Host".',
  });
}

function describeStopped(agent: AgentRecord, now: number): Finding {
  const since = agent.finishedAt === undefined ? '' : ` for ${formatAge(now - agent.finishedAt)}`;
  const exit = agent.state === 'exited' ? ` (status ${agent.exitCode})` : '';
  const text = `${nameOf(agent)} does not run: ${agent.state}${since}${exit}`;
  switch (agent.state) {
    case 'paused':
      return unhealthy('agent-stopped', text, { advice: `docker unpause ${agent.name}` });
    case 'dead':
    case 'removing':
      return unhealthy('agent-stopped', text, {
        advice: 'It can neither be started nor removed: see the runbook, "A container cannot be removed".',
      });
    case 'created':
    case 'exited':
    case 'running':
    case 'restarting':
      return unhealthy('agent-stopped', text, {
        advice: `docker start ${agent.name}; if it ends again: docker logs --tail 50 ${agent.name}`,
      });
  }
}

function judgeRunning(running: readonly AgentRecord[]): Finding | undefined {
  if (running.length < 2) return undefined;
  const others = running.filter(({ role }) => role !== 'agent');
  const spare = others.at(-1) ?? running.at(-1);
  return unhealthy('two-agents', `${running.length} agents run: ${running.map(nameOf).join(', ')}`, {
    advice: `Two agents undo each other's work. Keep the one that the server knows; docker rm -f ${spare?.name ?? 'the other one'}`,
    figures: { running: running.length },
  });
}

function judgeLeftOver(agents: readonly AgentRecord[]): Finding | undefined {
  const left = agents.filter(
    ({ role, state, managed }) => managed && (role === 'next' || role === 'previous') && !isDead(state),
  );
  const hasAgent = agents.some(
    ({ role, state, managed }) => managed && role === 'agent' && state === 'running',
  );
  if (left.length === 0 || !hasAgent) return undefined;
  return {
    check: 'agents',
    level: 'warning',
    text: `left over from an upgrade: ${left.map(({ name, state }) => `${name} (${state})`).join(', ')}`,
    cause: 'left-over',
    advice: 'The agent clears that away within 5 minutes; at once with docker restart rancher-agent.',
  };
}

function checkDead(agents: readonly AgentRecord[]): Finding | undefined {
  const dead = agents.filter(({ role, state, managed }) => managed && role !== 'agent' && isDead(state));
  if (dead.length === 0) return undefined;
  return {
    check: 'agents',
    level: 'warning',
    text: `the engine could not remove ${dead.map(nameOf).join(', ')}`,
    cause: 'cannot-remove',
    advice: 'See the runbook, "A container cannot be removed".',
    figures: { dead: dead.length },
  };
}

function describeHealthy(agent: AgentRecord, now: number): Finding {
  const since = agent.startedAt === undefined ? '' : ` for ${formatAge(now - agent.startedAt)}`;
  const kind = agent.ownEntrypoint ? '' : ' (old entrypoint)';
  return fine('agents', `${agent.name} runs${since}: ${agent.image}${kind}`, { running: 1 });
}

function isDead(state: AgentRecord['state']): boolean {
  return state === 'dead' || state === 'removing';
}

function unhealthy(cause: DoctorCause, text: string, rest: Pick<Finding, 'advice' | 'figures'>): Finding {
  return { check: 'agents', level: 'unhealthy', text, cause, ...rest };
}
