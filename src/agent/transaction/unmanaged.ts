import { describeContainer } from '../../engine/containers.ts';
import { CannotChangeError } from '../../support/errors.ts';
import { everyone, type Observation, type Observed } from './observe.ts';

/**
 * Refuses before anything is created or sent to the server, if a transaction could only be refused later: an unmanaged
 * container has the agent's name, or the container that asks has one of our names.
 * @param own ids of the containers in which we and our caller run
 * @throws CannotChangeError
 */
export function requireOwnNames(observation: Observation, own: readonly string[]): void {
  const asking = everyone(observation).find((container) => isOwn(container, own));
  if (asking !== undefined) throw ownContainerError(asking);
  const { agent } = observation;
  if (agent?.managed === false) throw unmanagedError(agent.name, describeContainer(agent));
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

/** @param fullName the name with the details that show a person which container is meant */
export function unmanagedError(name: string, fullName: string): CannotChangeError {
  return new CannotChangeError(
    `the container ${fullName} has one of our names but is not an agent: it is left alone`,
    {
      hint: `rename or remove it yourself: docker rename ${name} NEW_NAME; or start again with --force to have it replaced`,
    },
  );
}
