import { describeContainer } from '../../engine/containers.ts';
import { CannotChangeError } from '../../support/errors.ts';
import { everyone, type Observation, type Observed } from './observe.ts';

/**
 * Refuses before anything is created, or said to the server, where a transaction could only end in a refusal: a
 * unmanaged container has the agent's name, or the very one that asks has any of ours.
 * @param own ids of the containers in which we and our caller run
 * @throws CannotChangeError
 */
export function requireOwnNames(observation: Observation, own: readonly string[]): void {
  const asking = everyone(observation).find((container) => isOwn(container, own));
  if (asking !== undefined) throw ownContainerError(asking);
  const { agent } = observation;
  if (agent?.managed === false) throw unmanagedError(agent.name, describeContainer(agent));
}

/** Whether a container is one of ours in the sense of *the one this process, or its caller, runs in*. */
export function isOwn(container: Observed, own: readonly string[]): boolean {
  return own.some((id) => id !== '' && container.id.startsWith(id));
}

export function ownContainerError(container: Observed): CannotChangeError {
  return new CannotChangeError(
    `${describeContainer(container)} is the container that runs this command: it is left alone`,
    { hint: `start it under another name than ${container.name}, or without --name` },
  );
}

/** @param fullName with what tells a person which container is meant */
export function unmanagedError(name: string, fullName: string): CannotChangeError {
  return new CannotChangeError(
    `the container ${fullName} has one of our names but is not an agent: it is left alone`,
    {
      hint: `rename or remove it yourself: docker rename ${name} NEW_NAME; or start again with --force to have it replaced`,
    },
  );
}
