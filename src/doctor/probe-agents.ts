import { canStandBy, isAgentContainer, roleTable, titleOf, type RoleNames } from '../agent/identity/roles.ts';
import type { ContainerDetails, ContainerSummary, Engine } from '../engine/engine.ts';
import { describeUrl } from '../control-plane/url.ts';
import type { Environment } from '../support/configuration.ts';
import { EngineUnavailableError } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { AgentSnapshot } from './snapshot.ts';

/** An agent with the environment that its keys are in; the environment never gets into a snapshot. */
export interface ProbedAgent {
  readonly agent: AgentSnapshot;
  readonly environment: Environment;
}

/** The containers in a role, by one list of their names. */
export async function listAgents(engine: Engine, names: RoleNames): Promise<readonly AgentSnapshot[]> {
  const listed = await engine.listContainers({ names: roleTable(names).flatMap(([, all]) => all) });
  const inRoles = listed.filter(({ name }) => titleOf(name, names) !== undefined);
  return inRoles
    .map((container) => describe(container, undefined, names).agent)
    .sort((a, b) => rankOf(a.role, names) - rankOf(b.role, names));
}

/**
 * Every container in a role, and every other container that runs an agent's `run`: one inspection each, at most
 * DOCTOR_AGENTS. If one cannot be inspected, the facts of the list are shown.
 */
export async function inspectAgents(
  engine: Engine,
  listed: readonly ContainerSummary[],
  names: RoleNames,
  limits: Limits,
): Promise<readonly ProbedAgent[]> {
  const found = listed
    .filter((container) => roleOf(container, names) !== undefined)
    .slice(0, limits.DOCTOR_AGENTS);
  const probed = await Promise.all(
    found.map(async (container) => describe(container, await inspect(engine, container.id), names)),
  );
  return probed.sort((a, b) => rankOf(a.agent.role, names) - rankOf(b.agent.role, names));
}

/** The order of the roles; an agent under another name comes before those that are never agents. */
function rankOf(role: AgentSnapshot['role'], names: RoleNames): number {
  const titles = roleTable(names).map(([title]) => title);
  return role === 'other' ? titles.indexOf('worker') - 0.5 : titles.indexOf(role);
}

function roleOf(container: ContainerSummary, names: RoleNames): AgentSnapshot['role'] | undefined {
  const title = titleOf(container.name, names);
  if (title !== undefined) return title;
  const runs = container.state === 'running' || container.state === 'restarting';
  return runs && isAgentContainer(container) && container.command === '/run.sh run' ? 'other' : undefined;
}

/** If a shim hangs, the inspection of its container hangs, but not that of others. */
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
): ProbedAgent {
  const details = inspected === 'hangs' ? undefined : inspected;
  const { id, name, image } = details ?? container;
  const environment = details?.environment ?? {};
  const url = environment['CATTLE_URL'];
  return {
    environment,
    agent: {
      role: roleOf(container, names) ?? 'other',
      managed: isAgentContainer(details ?? container),
      // A list may be older than the inspection, and show `removing` where an inspection shows `dead`.
      state: details?.state ?? container.state,
      hangs: inspected === 'hangs',
      id,
      name,
      image,
      ownEntrypoint: canStandBy((details ?? container).labels),
      startedAt: details?.startedAt,
      finishedAt: details?.finishedAt,
      exitCode: details?.exitCode,
      restartCount: details?.restartCount ?? 0,
      server: url === undefined || url === '' ? undefined : describeUrl(url),
    },
  };
}
