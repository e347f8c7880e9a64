import type { ContainerDetails } from './engine.ts';

/** The first twelve digits of a container's id, as `docker ps` shows it. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

/** A container for a person: `rancher-agent (0123456789ab, rancher/agent:v1.2.11)`. */
export function describeContainer({
  name,
  id,
  image,
}: Pick<ContainerDetails, 'name' | 'id' | 'image'>): string {
  return `${name} (${shortId(id)}, ${image})`;
}

/** Whether the engine has marked a container for removal: it cannot be started again. */
export function isDead({ state }: Pick<ContainerDetails, 'state'>): boolean {
  return state === 'dead' || state === 'removing';
}

/** How a container ended, for people. A running one has no exit status: the engine then says 0. */
export function describeEnd(container: Pick<ContainerDetails, 'state' | 'exitCode'> | undefined): string {
  if (container === undefined) return 'state gone';
  const { state, exitCode } = container;
  return state === 'exited' || state === 'restarting'
    ? `state ${state}, exit status ${exitCode}`
    : `state ${state}`;
}
