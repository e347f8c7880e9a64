import type { ContainerMount } from '../../engine/engine.ts';
import type { HostFacts } from '../../host/inspection.ts';
import { CannotChangeError } from '../../support/errors.ts';

const hostState = '/var/lib/rancher';

/**
 * An agent that keeps its identity in the host's folder must not be replaced by one that gets a volume there: it would
 * register as another host (incident §2.7).
 * @param agent the active one
 * @throws CannotChangeError when the folder was the host's and cannot be written any more
 */
export function requireSameIdentity(
  agent: { readonly binds: readonly string[]; readonly mounts?: readonly ContainerMount[] },
  facts: Pick<HostFacts, 'varLibWritable'>,
): void {
  if (facts.varLibWritable || !isOnHost(agent)) return;
  throw new CannotChangeError(
    '/var/lib/rancher of this host cannot be written any more, and the agent keeps its identity there',
    {
      hint: 'nothing was touched; make the folder writable again (mount, file system check), then start the upgrade again',
    },
  );
}

/** Whether it mounts the host's folder, itself or through the state container. */
function isOnHost({ binds, mounts = [] }: Parameters<typeof requireSameIdentity>[0]): boolean {
  if (binds.includes(`${hostState}:${hostState}`)) return true;
  return mounts.some(
    ({ source, target, volume }) => target === hostState && source === hostState && volume === undefined,
  );
}
