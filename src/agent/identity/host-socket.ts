import { realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import type { ContainerDetails } from '../../engine/engine.ts';
import type { Environment } from '../../support/configuration.ts';
import { usualSocket } from '../../support/socket-path.ts';
import type { Profile } from './profile.ts';

/** Our own container, as far as its mounts go; undefined outside of one. */
export type OwnMounts = Pick<ContainerDetails, 'mounts'> | undefined;

/**
 * Where the engine's socket is on the host, for the containers that we create: what a person says (`HOST_DOCKER_SOCK`,
 * contract §4), else what our own socket is bound from, else the usual place.
 * @param socketPath of our own socket, in this container
 */
export async function hostSocketOf(
  profile: Profile,
  environment: Environment,
  own: OwnMounts,
  socketPath: string,
): Promise<string> {
  const given = profile.passedEnvironment.includes('HOST_DOCKER_SOCK') ? environment['HOST_DOCKER_SOCK'] : '';
  if (given !== undefined && given !== '') return given;
  return (await findHostPath(own, socketPath)) ?? usualSocket;
}

/**
 * The path on the host of a path in our container: the bind mount with the longest target on or above it counts. Both are
 * compared without links: in most images `/var/run` is one.
 * @returns undefined if nothing of the host is mounted there
 */
export async function findHostPath(
  own: OwnMounts,
  path: string,
  resolve: (path: string) => Promise<string> = resolveIfThere,
): Promise<string | undefined> {
  const wanted = await resolve(path);
  let longest: { readonly target: string; readonly source: string } | undefined;
  for (const { source, target: typed, volume } of own?.mounts ?? []) {
    const target = await resolve(typed);
    if (volume !== undefined || !source.startsWith('/') || !isOnOrAbove(target, wanted)) continue;
    if (longest === undefined || target.length > longest.target.length) longest = { target, source };
  }
  if (longest === undefined) return undefined;
  const found = posix.join(longest.source, posix.relative(longest.target, wanted));
  // The same file: an agent that was created with the one name is not replaced because of the other.
  return found === '/run/docker.sock' ? usualSocket : found;
}

function isOnOrAbove(folder: string, path: string): boolean {
  return folder === path || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

async function resolveIfThere(path: string): Promise<string> {
  return await realpath(path).catch(() => posix.normalize(path));
}
