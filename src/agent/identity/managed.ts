import { posix } from 'node:path';
import type { ContainerDetails } from '../../engine/engine.ts';
import { isAgentImage, labels } from './roles.ts';

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
