import { claimsToBeManaged, isManagedAs, isManagedState } from '../agent/identity/managed.ts';
import { describeOrigin } from '../agent/identity/role-name-taken.ts';
import { canStandBy, roleTable, titleOf, type RoleNames } from '../agent/identity/roles.ts';
import { isDead } from '../engine/containers.ts';
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

/**
 * The containers in a role, by one list of their names and one inspection each: there are as many as there are names at
 * most, whatever else is on the host.
 */
export async function listAgents(engine: Engine, names: RoleNames): Promise<readonly AgentSnapshot[]> {
  const listed = await engine.listContainers({ names: roleTable(names).flatMap(([, all]) => all) });
  return (await inspectRoles(engine, listed, names)).map(({ agent }) => agent);
}

/**
 * Every container in a role. If one cannot be inspected, the facts of the list are shown.
 * @param listed may hold other containers as well
 */
export async function inspectRoles(
  engine: Engine,
  listed: readonly ContainerSummary[],
  names: RoleNames,
): Promise<readonly ProbedAgent[]> {
  const inRoles = listed.filter(({ name }) => titleOf(name, names) !== undefined);
  const probed = await Promise.all(inRoles.map(async (container) => probeAgent(engine, container, names)));
  return ranked(probed, names);
}

/**
 * The managed containers that run an agent's `run` under a name of their own. Anybody may create thousands that look like it
 * in a list, so at most DOCTOR_AGENTS are inspected, and apart from the roles: they cannot hide those. First come those on the
 * host's network, where a tenant has none, then the oldest.
 */
export async function inspectOthers(
  engine: Engine,
  listed: readonly ContainerSummary[],
  names: RoleNames,
  limits: Limits,
): Promise<readonly ProbedAgent[]> {
  const candidates = listed
    .filter((container) => titleOf(container.name, names) === undefined && looksLikeAgent(container))
    .sort((a, b) => Number(isOnHost(b)) - Number(isOnHost(a)) || a.createdAt - b.createdAt)
    .slice(0, limits.DOCTOR_AGENTS);
  const probed = await Promise.all(candidates.map(async (container) => probeAgent(engine, container, names)));
  // An unmanaged container that has none of our names is nobody's business here.
  return probed.filter(({ agent }) => agent.managed);
}

/** The agents of both kinds in the order of the roles; one under another name comes before those that are never agents. */
export function ranked(probed: readonly ProbedAgent[], names: RoleNames): readonly ProbedAgent[] {
  const titles = roleTable(names).map(([title]) => title);
  const rankOf = ({ agent: { role } }: ProbedAgent): number =>
    role === 'other' ? titles.indexOf('worker') - 0.5 : titles.indexOf(role);
  return [...probed].sort((a, b) => rankOf(a) - rankOf(b));
}

function isOnHost({ networkMode }: ContainerSummary): boolean {
  return networkMode === 'host';
}

function looksLikeAgent(container: ContainerSummary): boolean {
  const runs = container.state === 'running' || container.state === 'restarting';
  return runs && claimsToBeManaged(container) && container.command === '/run.sh run';
}

async function probeAgent(
  engine: Engine,
  container: ContainerSummary,
  names: RoleNames,
): Promise<ProbedAgent> {
  const inspected = await inspect(engine, container.id);
  return describe(container, inspected, {
    role: titleOf(container.name, names) ?? 'other',
    managed: await isManagedHere(engine, container, inspected, names),
  });
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

/** What cannot be inspected is shown as what it claims to be: nothing but its name and state is then used. */
async function isManagedHere(
  engine: Engine,
  container: ContainerSummary,
  inspected: ContainerDetails | 'hangs' | undefined,
  names: RoleNames,
): Promise<boolean> {
  if (inspected === 'hangs') return claimsToBeManaged(container);
  if (inspected === undefined) return isDead(container) && claimsToBeManaged(container);
  const role = titleOf(container.name, names);
  if (role !== 'state') return isManagedAs(role, inspected);
  // Without an answer about its image, the folder of the host that a tenant cannot have still decides.
  const image = await engine.inspectImage(inspected.imageId).catch(() => undefined);
  return isManagedState(inspected, image);
}

function describe(
  container: ContainerSummary,
  inspected: ContainerDetails | 'hangs' | undefined,
  role: Pick<AgentSnapshot, 'role' | 'managed'>,
): ProbedAgent {
  const details = inspected === 'hangs' ? undefined : inspected;
  const { id, name, image } = details ?? container;
  const environment = details?.environment ?? {};
  const url = environment['CATTLE_URL'];
  return {
    environment,
    agent: {
      ...role,
      // A list may be older than the inspection, and show `removing` where an inspection shows `dead`.
      state: details?.state ?? container.state,
      hangs: inspected === 'hangs',
      id,
      name,
      image,
      ownEntrypoint: canStandBy((details ?? container).labels),
      createdAt: details?.createdAt ?? container.createdAt,
      startedAt: details?.startedAt,
      finishedAt: details?.finishedAt,
      exitCode: details?.exitCode,
      restartCount: details?.restartCount ?? 0,
      server: url === undefined || url === '' ? undefined : describeUrl(url),
      ...(role.managed
        ? {}
        : { origin: describeOrigin({ ...container, command: [container.command], ...details }) }),
    },
  };
}
