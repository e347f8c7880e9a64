import { isPrivateAddress } from '../../host/addresses.ts';
import { fine, unseen, type Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';

/**
 * Whether the host still has the address that a person gave it (`CATTLE_AGENT_IP`): after a move or a new DHCP lease its networks
 * do not work, and nothing says why. A public address is often that of a router, so it may be missing here.
 */
export function checkAddress({ address }: Pick<HostSnapshot, 'address'>): readonly Finding[] {
  if (!address.known) return [unseen('address', address)];
  if (address.value === undefined) return [];
  const { address: given, from, isHere } = address.value;
  const what = `CATTLE_AGENT_IP is ${given}`;
  const figures = { address: given, isHere };
  if (isHere) return [fine('address', `${what}, an address of this host`, figures)];
  if (!isPrivateAddress(given))
    return [fine('address', `${what}: no interface has it, so a router must translate it`, figures)];
  const correction =
    from === 'agent.conf'
      ? 'correct it in /var/lib/rancher/etc/agent.conf, then docker restart rancher-agent'
      : 'register again with -e CATTLE_AGENT_IP=ADDRESS, or with -e CATTLE_AGENT_IP= for the one that the agent finds';
  return [
    {
      check: 'address',
      level: 'warning',
      text: `${what}, and no interface of this host has that address`,
      cause: 'address-gone',
      advice: `The other hosts reach this one by it. If it has changed, ${correction}. If a router translates it, nothing is wrong.`,
      figures,
    },
  ];
}
