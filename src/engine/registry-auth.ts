/** What an engine is told so that it can log in to a registry for a pull (engine API, `X-Registry-Auth`). */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  /** In place of a password, from registries that give one at login. */
  readonly identitytoken?: string;
  readonly registrytoken?: string;
  readonly serveraddress: string;
}

/** How Docker's own registry is called where credentials are kept. */
export const dockerHub = 'index.docker.io';

/** The registry of an image: what stands before the first slash, if it looks like a host. */
export function registryOf(reference: string): string {
  const [first = '', ...rest] = reference.split('/');
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  if (!isHost || first === 'docker.io') return dockerHub;
  return first;
}
