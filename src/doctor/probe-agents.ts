import { isAgentImage, labels, canStandBy, type RoleNames } from '../agent/identity/roles.ts';
import { titleOf } from '../agent/identity/role-table.ts';
import type { ContainerDetails, ContainerSummary, Engine } from '../engine/engine.ts';
import { describeUrl } from '../control-plane/url.ts';
import type { Environment } from '../support/configuration.ts';
import { EngineUnavailableError } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { AgentRecord } from './snapshot.ts';

/** An agent with the environment that its keys are in; that never gets into a record. */
export interface AgentSeen {
  readonly record: AgentRecord;
  readonly environment: Environment;
}

/**
 * Everything in a role of ours, and every other container that runs an agent's `run`: one inspection each, at most
 * DOCTOR_AGENTS. One that can't be inspected is shown as the list has it.
 */
export async function lookAtAgents(
  engine: Engine,
  listed: readonly ContainerSummary[],
  names: RoleNames,
  limits: Limits,
): Promise<readonly AgentSeen[]> {
  const found = listed
    .filter((container) => roleOf(container, names) !== undefined)
    .slice(0, limits.DOCTOR_AGENTS);
  const seen = await Promise.all(
    found.map(async (container) => describe(container, await inspect(engine, container.id), names)),
  );
  return seen.sort((a, b) => rankOf(a.record.role) - rankOf(b.record.role));
}

/** The surest agent first, whoever was made last. */
function rankOf(role: AgentRecord['role']): number {
  const roles = [
    'agent',
    'legacy agent',
    'next',
    'previous',
    'other',
    'worker',
    'dead worker',
    'agent-restarter',
    'upgrade',
  ];
  return roles.indexOf(role);
}

function roleOf(container: ContainerSummary, names: RoleNames): AgentRecord['role'] | undefined {
  const title = titleOf(container.name, names);
  if (title !== undefined) return title;
  const runs = container.state === 'running' || container.state === 'restarting';
  return runs && isAgents(container) && container.command === '/run.sh run' ? 'other' : undefined;
}

function isAgents({ labels: own, image }: Pick<ContainerSummary, 'labels' | 'image'>): boolean {
  return own[labels.role] !== undefined || own[labels.system] === 'rancher-agent' || isAgentImage(image);
}

/** A stuck shim makes the inspection of its container hang, and of no other. */
async function inspect(engine: Engine, id: string): Promise<ContainerDetails | 'hangs' | undefined> {
  try {
    return await engine.inspectContainer(id);
  } catch (error) {
    if (error instanceof EngineUnavailableError) return 'hangs';
    throw error;
  }
}

function describe(
  container: ContainerSummary,
  inspected: ContainerDetails | 'hangs' | undefined,
  names: RoleNames,
): AgentSeen {
  const details = inspected === 'hangs' ? undefined : inspected;
  const { id, name, image } = details ?? container;
  const environment = details?.environment ?? {};
  const url = environment['CATTLE_URL'];
  return {
    environment,
    record: {
      role: roleOf(container, names) ?? 'other',
      managed: isAgents(details ?? container),
      // A list may be older than the inspection, and say `removing` of what an inspection calls dead.
      state: details?.state ?? container.state,
      hangs: inspected === 'hangs',
      id,
      name,
      image,
      ownEntrypoint: canStandBy((details ?? container).labels),
      startedAt: details?.startedAt,
      finishedAt: details?.finishedAt,
      exitCode: details?.exitCode ?? 0,
      restartCount: details?.restartCount ?? 0,
      server: url === undefined || url === '' ? undefined : describeUrl(url),
    },
  };
}
