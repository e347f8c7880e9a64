/** The engine's socket inside this container. @param dockerHost `DOCKER_HOST`, as Docker's client takes it; only a socket counts */
export function readSocketPath(dockerHost: string | undefined): string {
  return dockerHost?.startsWith('unix://') ? dockerHost.slice('unix://'.length) : '/var/run/docker.sock';
}
