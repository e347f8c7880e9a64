import { isDead, shortId } from '../../engine/containers.ts';
import type { ContainerSummary } from '../../engine/engine.ts';
import { formatAge } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { DoctorCause } from '../causes.ts';
import { fine, unseen, type Finding } from '../finding.ts';
import type { AgentSnapshot, HostSnapshot } from '../snapshot.ts';

type Snapshot = Pick<HostSnapshot, 'agents' | 'now'>;

/** Whether this host has one agent, and it runs. */
export function checkAgents(snapshot: Snapshot, limits: Limits): readonly Finding[] {
  const { agents } = snapshot;
  if (!agents.known) return [unseen('agents', agents)];
  const taken = checkTakenNames(agents.value, snapshot.now);
  const worker = workerAtWork(snapshot, limits);
  if (worker !== undefined) {
    const age = worker.startedAt === undefined ? '' : ` for ${formatAge(snapshot.now - worker.startedAt)}`;
    const text = `a worker is registering or replacing the agent${age}: docker logs ${worker.name}`;
    return [fine('agents', text), ...taken];
  }
  if (isBeingCleaned(snapshot, limits)) {
    const text = 'a cleanup has stopped the agent; its agent restarter starts it again';
    return [fine('agents', text), ...taken];
  }
  const active = agents.value.filter((agent) => agent.managed && activeRoles.includes(agent.role));
  const running = active.filter((agent) => agent.state === 'running');
  const findings = [
    checkHanging(agents.value),
    checkOverdueWorker(snapshot, limits),
    checkActiveAgent(snapshot, agents.value, running, limits),
    checkRunning(running),
    checkLeftOver(agents.value),
    checkDead(agents.value),
  ].filter((finding) => finding !== undefined);
  const own =
    findings.length > 0 ? findings : running.slice(0, 1).map((agent) => describeHealthy(agent, snapshot.now));
  return [...own, ...taken];
}

/** Whether a worker runs. */
export function isAtWork(snapshot: Pick<HostSnapshot, 'agents'>): boolean {
  return runningWorkers(snapshot).length > 0;
}

/** Until it exits, everything about agents may change; but a worker that lives too long hangs. */
function workerAtWork(snapshot: Snapshot, limits: Limits): AgentSnapshot | undefined {
  return runningWorkers(snapshot).find((worker) => !isOverdue(worker, snapshot.now, limits));
}

function runningWorkers({ agents }: Pick<HostSnapshot, 'agents'>): readonly AgentSnapshot[] {
  if (!agents.known) return [];
  return agents.value.filter(
    ({ role, state, managed }) => managed && role === 'worker' && state === 'running',
  );
}

/** No worker lives longer than WORKER_LIFE. */
function isOverdue(worker: AgentSnapshot, now: number, limits: Limits): boolean {
  return now - (worker.startedAt ?? worker.createdAt) > limits.WORKER_LIFE;
}

/**
 * Whether a cleanup has stopped the agent, and an agent restarter starts it again. It waits RESTARTER_TOTAL for the cleanup at
 * most, and tries for as long to start the agent: an older one explains nothing.
 */
function isBeingCleaned({ agents, now }: Snapshot, limits: Limits): boolean {
  if (!agents.known) return false;
  const isStopped = !agents.value.some(
    ({ role, state, managed }) => managed && role === 'agent' && state === 'running',
  );
  return (
    isStopped &&
    agents.value.some(
      ({ role, state, managed, createdAt }) =>
        managed &&
        role === 'agent-restarter' &&
        state === 'running' &&
        now - createdAt <= 2 * limits.RESTARTER_TOTAL,
    )
  );
}

/** Whether an agent restarts again and again, rather than having been restarted. */
export function isLooping(agent: AgentSnapshot, now: number, limits: Limits): boolean {
  if (agent.state === 'restarting') return true;
  const isYoung = agent.startedAt !== undefined && now - agent.startedAt < limits.RESTART_LOOP_WINDOW;
  return agent.state === 'running' && agent.restartCount >= limits.RESTART_LOOP && isYoung;
}

/** `rancher-agent (42e2c12f76e6)` */
export function nameOf({ name, id }: Pick<ContainerSummary, 'name' | 'id'>): string {
  return name === '' || id.startsWith(name) ? shortId(id) : `${name} (${shortId(id)})`;
}

/** Roles in which a running container is an active agent; a next or parked one is on standby. */
export const activeRoles: readonly AgentSnapshot['role'][] = ['agent', 'legacy agent', 'other'];

/** The engine answers, but not about this container. */
function checkHanging(agents: readonly AgentSnapshot[]): Finding | undefined {
  const hanging = agents.filter(({ hangs, managed }) => hangs && managed);
  if (hanging.length === 0) return undefined;
  return unhealthy('agent-hangs', `the engine does not answer about ${hanging.map(nameOf).join(', ')}`, {
    advice: 'Its shim hangs: see the runbook, "The engine does not answer".',
    figures: { hanging: hanging.length },
  });
}

function checkOverdueWorker(snapshot: Snapshot, limits: Limits): Finding | undefined {
  const worker = runningWorkers(snapshot).find((each) => isOverdue(each, snapshot.now, limits));
  if (worker === undefined) return undefined;
  const age = formatAge(snapshot.now - (worker.startedAt ?? worker.createdAt));
  return unhealthy('worker-overdue', `${nameOf(worker)} has run for ${age}; no worker needs that long`, {
    advice: `See where it hangs: docker logs --tail 50 ${worker.name}. Then docker stop ${worker.name}: the next one continues.`,
  });
}

/**
 * Unmanaged containers that have our names. They block nothing while a spare name is free, but for the agent's own name,
 * which has none. They are never touched, and nobody is told to remove them: they may be anybody's.
 */
function checkTakenNames(agents: readonly AgentSnapshot[], now: number): readonly Finding[] {
  const runs = agents.find(
    ({ role, state, managed }) => managed && role !== 'worker' && role !== 'state' && state === 'running',
  );
  return agents
    .filter(({ managed }) => !managed)
    .map((other) => {
      const isAgentName = other.role === 'agent';
      const age = formatAge(now - other.createdAt);
      const instead = isAgentName && runs !== undefined ? `; ${nameOf(runs)} runs instead` : '';
      return {
        check: 'agents',
        level: isAgentName ? 'unhealthy' : 'warning',
        text: `${nameOf(other)} has the name of ${titles[other.role]} and is not managed: ${other.image}, created ${age} ago${instead}`,
        cause: 'role-name-taken',
        ...(other.origin === undefined || other.origin === '' ? {} : { details: [other.origin] }),
        advice: 'Look whose it is: see the runbook, "An unmanaged container has one of our names".',
      };
    });
}

const titles: Readonly<Record<AgentSnapshot['role'], string>> = {
  agent: 'the agent',
  'legacy agent': 'a legacy agent',
  next: 'a next agent',
  previous: 'a parked agent',
  worker: 'a worker',
  'dead worker': 'a dead worker',
  'agent-restarter': 'an agent restarter',
  upgrade: 'an upgrade',
  state: 'the state container',
  other: 'an agent',
};

function checkActiveAgent(
  { now }: Snapshot,
  agents: readonly AgentSnapshot[],
  running: readonly AgentSnapshot[],
  limits: Limits,
): Finding | undefined {
  const active =
    agents.find(({ role, managed }) => role === 'agent' && managed) ??
    agents.find(({ role, managed }) => role === 'legacy agent' && managed);
  if (running.length > 0) return undefined;
  if (active !== undefined && isLooping(active, now, limits)) return undefined;
  if (active !== undefined) return describeStopped(active, now);
  if (agents.some(({ role, managed }) => role === 'agent' && !managed)) return undefined;
  const standing = agents.find(({ role, managed }) => managed && (role === 'next' || role === 'previous'));
  if (standing !== undefined) {
    const isUp = standing.state === 'running' || standing.state === 'restarting';
    return unhealthy('no-agent', `no agent; there is ${nameOf(standing)}, ${standing.state}`, {
      advice: isUp
        ? `See why: docker logs --tail 50 ${standing.name}. Then start an upgrade to an image that works.`
        : `docker start ${standing.name}: on standby, it starts a worker that promotes it.`,
    });
  }
  return unhealthy('no-agent', 'there is no agent on this host', {
    advice: 'Register the host, with the command of "Add Host" on the server.',
  });
}

function describeStopped(agent: AgentSnapshot, now: number): Finding {
  const since = agent.finishedAt === undefined ? '' : ` for ${formatAge(now - agent.finishedAt)}`;
  const exit = agent.state === 'exited' && agent.exitCode !== undefined ? ` (status ${agent.exitCode})` : '';
  const text = `${nameOf(agent)} does not run: ${agent.state}${since}${exit}`;
  switch (agent.state) {
    case 'paused':
      return unhealthy('agent-stopped', text, { advice: `docker unpause ${agent.name}` });
    case 'dead':
    case 'removing':
      return unhealthy('agent-stopped', text, {
        advice: 'Docker can neither start nor remove it: see the runbook, "A container cannot be removed".',
      });
    case 'created':
    case 'exited':
    case 'running':
    case 'restarting':
      return unhealthy('agent-stopped', text, {
        advice: `docker start ${agent.name}; if it exits again: docker logs --tail 50 ${agent.name}`,
      });
  }
}

function checkRunning(running: readonly AgentSnapshot[]): Finding | undefined {
  if (running.length < 2) return undefined;
  const others = running.filter(({ role }) => role !== 'agent');
  const spare = others.at(-1) ?? running.at(-1);
  return unhealthy('two-agents', `${running.length} agents run: ${running.map(nameOf).join(', ')}`, {
    advice: `Two agents undo each other's work. Keep the one that the server knows; docker rm -f ${spare?.name ?? 'the other one'}`,
    figures: { running: running.length },
  });
}

function checkLeftOver(agents: readonly AgentSnapshot[]): Finding | undefined {
  const left = agents.filter(
    ({ role, state, managed }) => managed && (role === 'next' || role === 'previous') && !isDead({ state }),
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
    advice: 'The agent removes that within 5 minutes; to do it at once: docker restart rancher-agent.',
  };
}

function checkDead(agents: readonly AgentSnapshot[]): Finding | undefined {
  const dead = agents.filter(({ role, state, managed }) => managed && role !== 'agent' && isDead({ state }));
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

function describeHealthy(agent: AgentSnapshot, now: number): Finding {
  const since = agent.startedAt === undefined ? '' : ` for ${formatAge(now - agent.startedAt)}`;
  const kind = agent.ownEntrypoint ? '' : ' (legacy entrypoint)';
  return fine('agents', `${agent.name} runs${since}: ${agent.image}${kind}`, { running: 1 });
}

function unhealthy(cause: DoctorCause, text: string, rest: Pick<Finding, 'advice' | 'figures'>): Finding {
  return { check: 'agents', level: 'unhealthy', text, cause, ...rest };
}
