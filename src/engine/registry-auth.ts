/** What an engine needs to log in to a registry for a pull (engine API, `X-Registry-Auth`). */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  /** In place of a password, from registries that give one at login. */
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress: string;
}

/** The name of Docker's own registry in a file of credentials. */
export const dockerHub = 'index.docker.io';

/**
 * The registry of an image: the part before the first slash, if it looks like a host. A name with capitals is one: no repository may
 * have any, so an engine asks that host, and the credentials of another one must not go there.
 */
export function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/');
  const isHost = rest.length > 0 && (/[.:A-Z]/.test(first) || first === 'localhost');
  if (!isHost || first === 'docker.io') return dockerHub;
  return first;
}
