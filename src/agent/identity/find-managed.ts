import { isDead } from '../../engine/containers.ts';
import type { ContainerDetails, ContainerState, Engine } from '../../engine/engine.ts';
import { claimsToBeManaged, isManagedAs } from './managed.ts';
import { titleOf, type RoleNames } from './roles.ts';

/** A managed container with one of our names. */
export interface ManagedContainer {
  readonly id: string;
  readonly name: string;
  readonly state: ContainerState;
  /** Undefined for a dead container that an old engine lists and cannot inspect. */
  readonly details: ContainerDetails | undefined;
}

/**
 * The managed containers among some of our names, by one list and one inspection for each that is there: a list shows only
 * what anybody may choose. There are as many as there are names at most.
 */
export async function findManaged(
  engine: Pick<Engine, 'listContainers' | 'inspectContainer'>,
  names: RoleNames,
  wanted: readonly string[],
): Promise<readonly ManagedContainer[]> {
  const listed = await engine.listContainers({ names: wanted });
  const found = await Promise.all(
    listed.map(async (summary): Promise<ManagedContainer | undefined> => {
      const { id, name, state } = summary;
      const details = await engine.inspectContainer(id);
      if (details === undefined) {
        const isLeft = isDead(summary) && claimsToBeManaged(summary);
        return isLeft ? { id, name, state, details } : undefined;
      }
      const isOurs = isManagedAs(titleOf(name, names), details);
      return isOurs ? { id, name, state: details.state, details } : undefined;
    }),
  );
  return found.filter((container) => container !== undefined);
}
