import { fetchBootstrap } from '../../control-plane/bootstrap.ts';
import type { ContainerDetails, Engine } from '../../engine/engine.ts';
import { messageOf } from '../../support/errors.ts';
import { officeOf } from '../office.ts';
import { isAgentContainer, standsBy, type RoleNames } from '../roles.ts';
import { openConnection, readAgentSettings, type ServerAccess } from '../server.ts';
import { readRequirement } from '../upgrade-decision.ts';

export interface Standby extends ServerAccess {
  readonly engine: Pick<Engine, 'inspectContainer'>;
  readonly names: RoleNames;
  readonly own: Pick<ContainerDetails, 'name'>;
  /** The image that this agent runs from, as it was named. */
  readonly image: string;
}

/**
 * What an agent on standby has a worker do when it finds nobody at work. A legacy agent does not work while its server requires
 * this image: the next worker goes on with the upgrade, and nothing is removed between tries (readiness.md, 3). Everywhere else
 * what an interrupted upgrade left is reconciled.
 */
export async function chooseStandbyTask(standby: Standby): Promise<'upgrade' | 'settle'> {
  const { engine, names, own, image } = standby;
  if (officeOf(own.name, names) !== 'next') return 'settle';
  const legacy = await findLegacy(engine, names);
  if (legacy === undefined) return 'settle';
  const required = await askRequired(standby, legacy.image);
  return required === image || required === 'unknown' ? 'upgrade' : 'settle';
}

async function findLegacy(
  engine: Standby['engine'],
  names: RoleNames,
): Promise<ContainerDetails | undefined> {
  for (const name of [names.agent, ...names.legacyAgents]) {
    const agent = await engine.inspectContainer(name);
    if (agent?.state === 'running' && isAgentContainer(agent) && !standsBy(agent.labels)) return agent;
  }
  return undefined;
}

/** @returns the image's name; undefined: none; `unknown`: the server gave no script that can be understood */
async function askRequired(access: ServerAccess, legacyImage: string): Promise<string | undefined> {
  try {
    const settings = readAgentSettings(access.configuration.environment);
    const { client } = await openConnection(access, settings.cattleUrl, { tools: false, readOnly: true });
    const bootstrap = await fetchBootstrap(client, settings.cattleUrl, settings.keys);
    const required = bootstrap.ok ? readRequirement(bootstrap.script, legacyImage) : undefined;
    if (required === undefined || required.kind === 'unclear') return 'unknown';
    return required.kind === 'image' ? required.image : undefined;
  } catch (error) {
    access.signal.throwIfAborted();
    access.log.debug('the server could not be asked which image it requires', { error: messageOf(error) });
    return 'unknown';
  }
}
