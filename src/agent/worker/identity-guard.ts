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
export function requireSameIdentity(agent: IdentityMounts, facts: Pick<HostFacts, 'varLibWritable'>): void {
  if (facts.varLibWritable || !isOnHost(agent)) return;
  throw new CannotChangeError(
    '/var/lib/rancher of this host cannot be written any more, and the agent keeps its identity there',
    {
      hint: 'nothing was touched; make the folder writable again (mount, file system check), then start the upgrade again',
    },
  );
}

/**
 * Pure: an agent that keeps its identity in a volume keeps it there, although the host's folder can be written by now: it would
 * find no identity in that folder.
 * @param agent the one that is upgraded
 */
export function keepIdentity<Facts extends Pick<HostFacts, 'varLibWritable'>>(
  agent: IdentityMounts,
  facts: Facts,
): Facts {
  return isOnVolume(agent) ? { ...facts, varLibWritable: false } : facts;
}

/**
 * Before a registration: it must find the identity that the host has.
 * @param agent the present one, if there is one
 * @param hasKey whether the host key is where this registration looks for it
 * @throws CannotChangeError when it is in the volume of the agent alone
 */
export function requireFoundIdentity(
  agent: (IdentityMounts & { readonly name: string }) | undefined,
  hasKey: boolean,
): void {
  if (agent === undefined || hasKey || !isOnVolume(agent)) return;
  throw new CannotChangeError(
    `${agent.name} keeps the identity of this host in a volume, and a registration would create another host`,
    {
      hint: `nothing was touched; copy it first: docker cp ${agent.name}:${hostState}/state/. ${hostState}/state/`,
    },
  );
}

/**
 * After the inspection of a host that registers: a key that is not kept would make another host of it each time.
 * @throws CannotChangeError when it cannot be kept
 */
export function requireKeptKey({ isKeyKept }: Pick<HostFacts, 'isKeyKept'>): void {
  if (isKeyKept) return;
  throw new CannotChangeError(
    `${hostState} of this host cannot be written: each registration would create another host`,
    {
      hint: 'nothing was touched; make the folder writable (mount, lsattr, file system check), then register again',
    },
  );
}

/** What an agent mounts. */
interface IdentityMounts {
  readonly binds: readonly string[];
  readonly mounts?: readonly ContainerMount[];
}

/** Whether it has a volume in the place of the host's folder. */
function isOnVolume({ binds, mounts = [] }: IdentityMounts): boolean {
  const isVolumeThere = (bind: string): boolean => {
    const [source = '', target] = bind.split(':');
    return target === hostState && !source.startsWith('/');
  };
  return (
    binds.some(isVolumeThere) ||
    mounts.some(({ target, volume }) => target === hostState && volume !== undefined)
  );
}

/** Whether it mounts the host's folder, itself or through the state container. */
function isOnHost({ binds, mounts = [] }: IdentityMounts): boolean {
  if (binds.includes(`${hostState}:${hostState}`)) return true;
  return mounts.some(
    ({ source, target, volume }) => target === hostState && source === hostState && volume === undefined,
  );
}
