import { endsWithServing } from '../agent/run/serving/causes.ts';
import { knownServing } from '../agent/run/serving/known.ts';
import type { HostStatus } from '../host/files/status.ts';
import type { HostVerdict, RoleHolder, StatusFacts } from './status-report.ts';

/**
 * The verdict on what is known. The status file alone is not enough: it says what was so when a worker ended, and an
 * agent that was killed since has told nobody.
 */
export function judgeHost({ status, serving, containers: found, leaks }: StatusFacts): HostVerdict {
  if ('problem' in found) return { word: 'unknown', sentence: `not known: ${found.problem}` };
  // The state container belongs to the host (profile rancher-1.0): it stays, and never runs.
  const containers = found.filter(({ role }) => role !== 'state');
  const running = containers.filter(({ state }) => state === 'running');
  const agent = running.find(({ role }) => role === 'agent' || role === 'legacy agent');
  const worker = running.find(({ role }) => role === 'worker');
  if (worker !== undefined) return { word: 'busy', sentence: describeWork(status, agent) };
  if (agent === undefined && running.some(({ role }) => role === 'agent-restarter')) {
    return {
      word: 'busy',
      sentence: 'a clean-up has stopped the agent; its agent restarter starts it again',
    };
  }
  if (agent === undefined) return describeNoAgent(containers);
  const last = status.kind === 'valid' ? status.status : undefined;
  const now = knownServing(serving, [agent.id]);
  if (now.serving === 'no')
    return { word: 'look', sentence: `the agent runs, but does not serve: ${now.message}` };
  if (last !== undefined && endsWithServing(last)) {
    return { word: 'look', sentence: `the agent runs; ${last.summary}` };
  }
  const agentDoes = now.serving === 'yes' ? 'the agent serves' : 'the agent runs';
  switch (last?.state) {
    case 'failed':
      return { word: 'look', sentence: `${agentDoes}, but what was last asked for failed` };
    case 'degraded':
      return { word: 'look', sentence: describeDegraded(last, agentDoes) };
    case 'deferred':
      return { word: 'look', sentence: `${agentDoes}; what was asked for was put off` };
    case 'working':
      return {
        word: 'look',
        sentence: `${agentDoes}; whoever was at work is gone, and it will be settled`,
      };
    case 'ok':
    case undefined:
      break;
  }
  if (!('problem' in leaks) && leaks.leaking)
    return { word: 'look', sentence: `${agentDoes}, but helpers are leaking` };
  const leftover = containers.find(({ role }) => !['agent', 'legacy agent'].includes(role));
  if (leftover !== undefined)
    return { word: 'look', sentence: `${agentDoes}; ${leftover.name} is left over` };
  return { word: 'well', sentence: `${agentDoes}, and nothing is left over` };
}

function describeDegraded({ unremovable = [], cause, summary }: HostStatus, agentDoes: string): string {
  const isRemoval = unremovable.length > 0 || cause === 'cannot-remove';
  return isRemoval ? `${agentDoes}, but a container can't be removed` : `${agentDoes}; ${summary}`;
}

function describeWork(status: StatusFacts['status'], agent: RoleHolder | undefined): string {
  const doing =
    status.kind === 'valid' && status.status.state === 'working'
      ? status.status.summary
      : 'a worker is at it';
  return agent === undefined ? `${doing}; no agent runs for the moment` : `${doing}; the agent runs`;
}

function describeNoAgent(containers: readonly RoleHolder[]): HostVerdict {
  const agent = containers.find(({ role }) => role === 'agent' || role === 'legacy agent');
  if (agent === undefined && containers.length === 0) {
    return { word: 'bad', sentence: 'NO agent: this host is not registered, or its agent was removed' };
  }
  if (agent === undefined) return { word: 'bad', sentence: 'NO agent runs on this host' };
  return { word: 'bad', sentence: `NO agent runs: ${agent.name} is ${agent.state}` };
}
