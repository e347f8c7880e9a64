import { describeContainer } from '../../engine/containers.ts';
import { CannotChangeError } from '../../support/errors.ts';
import { allNamesTaken, roleNameTaken } from '../identity/role-name-taken.ts';
import { everyone, type Observation, type Observed } from './observe.ts';

/**
 * Refuses before anything is created or sent to the server, if a transaction could only be refused later: unmanaged
 * containers have the agent's name or all names of the next agent, or the container that asks has one of our names.
 * @param own ids of the containers in which we and our caller run
 * @throws RoleNameTakenError; CannotChangeError for the container that asks
 */
export function requireOwnNames(observation: Observation, own: readonly string[]): void {
  const asking = everyone(observation).find((container) => isOwn(container, own));
  if (asking !== undefined) throw ownContainerError(asking);
  const { agent, nexts } = observation;
  if (agent?.managed === false) throw roleNameTaken(agent, true);
  const unmanaged = nexts.filter((next): next is Observed => next?.managed === false);
  if (unmanaged.length > 0 && unmanaged.length === nexts.length)
    throw allNamesTaken('create the next agent', unmanaged);
}

/** Whether this process or its caller runs in that container. */
export function isOwn(container: Observed, own: readonly string[]): boolean {
  return own.some((id) => id !== '' && container.id.startsWith(id));
}

export function ownContainerError(container: Observed): CannotChangeError {
  return new CannotChangeError(
    `${describeContainer(container)} is the container that runs this command: it is left alone`,
    { hint: `start it under another name than ${container.name}, or without --name` },
  );
}
