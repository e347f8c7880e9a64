const scheme = 'unix://';

/** The engine's socket inside this container. @param dockerHost `DOCKER_HOST`, as Docker's client takes it; only a socket counts */
export function readSocketPath(dockerHost = ''): string {
  const path = dockerHost.startsWith(scheme) ? dockerHost.slice(scheme.length) : '';
  return path === '' ? '/var/run/docker.sock' : path;
}
