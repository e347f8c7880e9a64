const scheme = 'unix://';

/** The engine's socket, where a container usually has it, and where it usually is on the host. */
export const usualSocket = '/var/run/docker.sock';

/** Which engine a process talks to. Only a Unix socket counts: another address may be another host's engine. */
export interface EngineAddress {
  /** Path of the socket inside this container. */
  readonly socketPath: string;
  /** A sentence about a `DOCKER_HOST` that names anything but a socket. */
  readonly problem?: string;
}

/** @param dockerHost `DOCKER_HOST`, as Docker's client takes it */
export function readEngineAddress(dockerHost = ''): EngineAddress {
  if (dockerHost === '' || dockerHost === scheme) return { socketPath: usualSocket };
  const path = dockerHost.startsWith(scheme) ? dockerHost.slice(scheme.length) : '';
  if (path.startsWith('/')) return { socketPath: path };
  return {
    socketPath: usualSocket,
    problem: `DOCKER_HOST is "${dockerHost}", and only the socket of this host's engine counts (unix:///PATH)`,
  };
}

/** What leads a Docker client to an engine by the network. A program that is to use the socket gets none of them. */
export const networkVariables: readonly string[] = ['DOCKER_HOST', 'DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH'];
