import { posix } from 'node:path';
import type { ContainerDetails, ImageDetails } from '../../engine/engine.ts';
import { canStandBy, isAgentImage, labels, type RoleTitle } from './roles.ts';

/*
 * Which containers are managed (invariant 8). An unprivileged user of the host's engine may choose name, label, image,
 * command and environment of a container. So none of these makes a container managed. What counts is what such a user cannot
 * create: a privileged container that has the engine's socket of the host.
 */

/** What decides; every field comes from an inspection, because a list shows only what anybody may choose. */
export type Evidence = Pick<ContainerDetails, 'labels' | 'image' | 'binds' | 'privileged'>;

/**
 * Whether a container is managed, for every role but the two below: created by us, or an agent of the legacy entrypoint
 * (contract §3 and §4: both are privileged and have the socket).
 */
export function isManaged(container: Evidence): boolean {
  return claimsToBeManaged(container) && container.privileged && hasEngineSocket(container.binds);
}

/** Whether a container is our agent restarter, which has the socket and needs no privileges. */
export function isManagedRestarter(container: Evidence): boolean {
  return container.labels[labels.role] === 'agent-restarter' && hasEngineSocket(container.binds);
}

/**
 * Whether a container is managed in the role that its name gives it; the state container has a rule of its own, which also
 * needs its image.
 */
export function isManagedAs(role: RoleTitle | undefined, container: Evidence): boolean {
  return role === 'agent-restarter' ? isManagedRestarter(container) : isManaged(container);
}

const stateTargets = ['/var/lib/cattle', '/var/lib/rancher', '/var/log/rancher'];

/**
 * Whether a container is the state container of an agent (contract §4). It is never started, and the agent mounts all of its
 * volumes: one more mount, such as one on `/usr/bin`, would give whoever created it the host. The bind mount of the host's
 * log folder is what an unprivileged user cannot have.
 *
 * @param image what the container was created from, inspected by its id; undefined if the engine has it no more
 */
export function isManagedState(
  container: Evidence & Pick<ContainerDetails, 'command' | 'mounts'>,
  image: Pick<ImageDetails, 'labels' | 'repoTags'> | undefined,
): boolean {
  const { command, binds, mounts = [] } = container;
  const isStateCommand = command.length === 2 && command[0] === '/run.sh' && command[1] === 'state';
  const targets = mounts.map(({ target }) => target).sort();
  return (
    isStateCommand &&
    claimsToBeManaged(container) &&
    (image === undefined || isOfAgents(image)) &&
    binds.some((bind) => /^\/var\/log\/rancher:\/var\/log\/rancher(:|$)/.test(bind)) &&
    targets.length === stateTargets.length &&
    targets.every((target, index) => target === stateTargets[index])
  );
}

function isOfAgents({ labels: own, repoTags }: Pick<ImageDetails, 'labels' | 'repoTags'>): boolean {
  return own[labels.system] === 'rancher-agent' || canStandBy(own) || repoTags.some(isAgentImage);
}

/**
 * Whether label or image say that a container is managed. Anybody can write both: this alone never makes it managed. It
 * is enough to remove a dead container that an old engine lists and cannot inspect.
 */
export function claimsToBeManaged(container: Pick<ContainerDetails, 'labels' | 'image'>): boolean {
  if (container.labels[labels.role] !== undefined) return true;
  return container.labels[labels.system] === 'rancher-agent' || isAgentImage(container.image);
}

/** `/var/run` is a link to `/run` on most hosts; people name either. */
const sockets = ['/var/run/docker.sock', '/run/docker.sock'];

/**
 * Whether the host's engine socket is among the bind mounts: a source on or above the usual path, or any path of the host
 * in the place of the socket (`HOST_DOCKER_SOCK`, contract §4). A named volume never counts.
 *
 * @param binds `source:target[:options]`, as they were asked for: an engine of API 1.22 has no mount type
 */
export function hasEngineSocket(binds: readonly string[]): boolean {
  return binds.some((bind) => {
    const [source = '', target = ''] = bind.split(':');
    if (!source.startsWith('/')) return false;
    return sockets.some((socket) => isOnOrAbove(source, socket) || posix.normalize(target) === socket);
  });
}

function isOnOrAbove(folder: string, path: string): boolean {
  const clean = posix.normalize(`${folder}/`);
  return `${path}/`.startsWith(clean);
}
