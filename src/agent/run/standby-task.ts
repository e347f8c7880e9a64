import type { ContainerDetails, Engine } from '../../engine/engine.ts';
import { roleOf } from './standby.ts';
import { isManaged } from '../identity/managed.ts';
import { canStandBy, type RoleNames } from '../identity/roles.ts';
import type { ServerAccess } from '../../control-plane/open-connection.ts';
import { askRequirement } from '../worker/proof/requirement.ts';

export interface Standby extends ServerAccess {
  readonly engine: Pick<Engine, 'inspectContainer'>;
  readonly names: RoleNames;
  readonly own: Pick<ContainerDetails, 'name'>;
  /** The image that this agent runs from, as it was named. */
  readonly image: string;
}

/**
 * What an agent on standby has a worker do when it finds nobody at work. A legacy agent does not work while its server requires
 * this image: the next worker goes on with the upgrade, and nothing is removed between tries (readiness §3). Everywhere else
 * what an interrupted upgrade left is reconciled.
 */
export async function chooseStandbyTask(standby: Standby): Promise<'upgrade' | 'reconcile'> {
  const { engine, names, own, image } = standby;
  if (roleOf(own.name, names) !== 'next') return 'reconcile';
  const legacy = await findLegacy(engine, names);
  if (legacy === undefined) return 'reconcile';
  // The next agent has the environment of the one that it is to replace.
  const { environment } = standby.configuration;
  const required = await askRequirement(standby, { environment, image: legacy.image });
  return required === image || required === 'unknown' ? 'upgrade' : 'reconcile';
}

async function findLegacy(
  engine: Standby['engine'],
  names: RoleNames,
): Promise<ContainerDetails | undefined> {
  for (const name of [names.agent, ...names.legacyAgents]) {
    const agent = await engine.inspectContainer(name);
    if (agent?.state === 'running' && isManaged(agent) && !canStandBy(agent.labels)) return agent;
  }
  return undefined;
}
