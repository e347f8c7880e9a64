import type { HostFacts } from '../host/inspection.ts';
import { CannotChangeError } from '../support/errors.ts';

const hostState = '/var/lib/rancher:/var/lib/rancher';

/**
 * An agent that keeps its identity in the host's folder must not be replaced by one that gets a volume there: it would
 * register as another host (incident, why 7).
 * @param binds of the agent in office
 * @throws CannotChangeError when the folder was the host's and can't be written any more
 */
export function requireSameIdentity(
  binds: readonly string[],
  facts: Pick<HostFacts, 'varLibWritable'>,
): void {
  if (facts.varLibWritable || !binds.includes(hostState)) return;
  throw new CannotChangeError(
    '/var/lib/rancher of this host can not be written any more: the agent keeps its identity there',
    {
      hint: 'nothing was touched; make the folder writable again (mount, file system check), then start the upgrade again',
    },
  );
}
