import { describeContainer } from '../../engine/containers.ts';
import type { ContainerDetails } from '../../engine/engine.ts';
import { RoleNameTakenError } from '../../support/errors.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import { printable } from '../../support/printable.ts';
import { claimsToBeManaged } from './managed.ts';

/** An unmanaged container that has one of our names, with what a person needs to recognise it. */
export type NameHolder = Pick<ContainerDetails, 'id' | 'name' | 'image'> &
  Partial<Pick<ContainerDetails, 'labels' | 'createdAt' | 'command'>>;

/**
 * What shows who may have created a container: the engine does not know. One line.
 * `created 2026-01-01T00:00:00.000Z, command "sleep 1d", compose project shop`
 */
export function describeOrigin({ createdAt, command, labels = {} }: NameHolder): string {
  const project = labels['com.docker.compose.project'];
  const stack = labels['io.rancher.stack.name'] ?? labels['io.rancher.project.name'];
  const facts = [
    createdAt === undefined ? undefined : `created ${new Date(createdAt).toISOString()}`,
    command === undefined ? undefined : `command "${shorten(command.join(' '))}"`,
    project === undefined ? undefined : `compose project ${shorten(project)}`,
    stack === undefined ? undefined : `Rancher stack ${shorten(stack)}`,
  ];
  return facts.filter((fact) => fact !== undefined).join(', ');
}

/**
 * The error for a name of ours that an unmanaged container has.
 * @param mayForce whether `--force` would replace it
 */
export function roleNameTaken(holder: NameHolder, mayForce: boolean): RoleNameTakenError {
  const { name } = holder;
  const origin = describeOrigin(holder);
  const force = mayForce ? '; or start again with --force to have it replaced' : '';
  const looksLikeOurs = claimsToBeManaged({ labels: holder.labels ?? {}, image: holder.image });
  const unprivileged = looksLikeOurs
    ? '; its label or image is that of an agent, but it lacks --privileged or the socket: an agent that somebody started ' +
      'that way needs both'
    : '';
  return new RoleNameTakenError(
    `the container ${describeContainer(holder)} has one of our names but is not managed: it is left alone` +
      (origin === '' ? '' : ` (${origin})`),
    { hint: `rename or remove it yourself: docker rename ${name} NEW_NAME${force}${unprivileged}` },
  );
}

/** The same when no name of a role is left. @param what cannot be done, e.g. `create the next agent` */
export function allNamesTaken(what: string, holders: readonly NameHolder[]): RoleNameTakenError {
  const list = holders.map((holder) => `${describeContainer(holder)}, ${describeOrigin(holder)}`).join('; ');
  const [first] = holders;
  return new RoleNameTakenError(
    `cannot ${what}: no name is free, and these containers are not managed: ${list}`,
    {
      hint: `rename or remove one of them yourself: docker rename ${first?.name ?? 'NAME'} NEW_NAME`,
    },
  );
}

function shorten(text: string): string {
  const line = printable(text.slice(0, fixedLimits.SHOWN_TEXT));
  return text.length > fixedLimits.SHOWN_TEXT ? `${line}…` : line;
}
