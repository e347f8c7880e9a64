import { shortId } from '../../engine/containers.ts';
import { formatAge } from '../../support/deadline.ts';
import { fine, unseen, unseenOnDisk, type Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';

/** The cause of both traces that a killed worker leaves: its lock, and the state `working`. */
export const workerDied = 'worker-died';

/** The lock of this host and its holder. */
export function checkLock({ lock, now }: Pick<HostSnapshot, 'lock' | 'now'>): readonly Finding[] {
  if (!lock.known) return [unseenOnDisk('lock', '/var/lib/rancher', lock)];
  const holder = lock.value;
  if (holder.state === 'free') return [fine('lock', 'free', { state: 'free' })];
  const { owner, untouchedMs } = holder;
  const who =
    owner === undefined
      ? 'an unknown owner'
      : `"${owner.command}" since ${formatAge(now - Date.parse(owner.since))}`;
  const where = owner?.container === undefined ? '' : ` (container ${shortId(owner.container)})`;
  const figures = { state: holder.state, untouchedMs };
  if (holder.state === 'held') return [fine('lock', `held by ${who}${where}`, figures)];
  return [
    {
      check: 'lock',
      level: 'warning',
      text: `stale: held by ${who}${where}, not touched for ${formatAge(untouchedMs)}`,
      cause: workerDied,
      advice:
        'Nothing waits for it: the next upgrade or registration takes it over. Was the host rebooted, or a worker killed?',
      figures,
    },
  ];
}

/** The host key: it identifies this host to its server. */
export function checkKey({ key, machine, agents }: HostSnapshot): readonly Finding[] {
  if (!key.known) return [unseen('key', key)];
  switch (key.value) {
    case 'present':
      if (machine.known && machine.value.kind === 'other') return [describeCopy(machine.value.since)];
      return [fine('key', 'the host key is there')];
    case 'damaged':
      return [
        {
          check: 'key',
          level: 'unhealthy',
          text: '/var/lib/rancher/state/.registration_token contains no host key',
          cause: 'key-damaged',
          advice:
            'It is the identity of this host: restore it from a backup. Do not remove it: the host would register a second time.',
        },
      ];
    case 'missing': {
      const isRegistered =
        agents.known &&
        agents.value.some(({ managed, role }) => managed && role !== 'worker' && role !== 'upgrade');
      if (!isRegistered) return [fine('key', 'none yet: this host was never registered')];
      return [
        {
          check: 'key',
          level: 'warning',
          text: 'there is an agent and no /var/lib/rancher/state/.registration_token',
          cause: 'key-missing',
          advice:
            'The next registration would create a second host: restore the file from a backup, if there is one.',
        },
      ];
    }
  }
}

/** The disk was copied, or put into another machine. Only a person knows which. */
function describeCopy(since: string): Finding {
  return {
    check: 'key',
    level: 'warning',
    text: `the host key was kept on another machine since ${since.slice(0, 10)}: this may be a copy of it`,
    cause: 'cloned-machine',
    advice:
      'Two machines with one host key are one host for the server, and disturb each other. If the other one still runs, ' +
      'separate them: see the runbook, "Two machines with one host key". If not: rm /var/lib/rancher/entrypoint/machine.json.',
    figures: { keptSince: since },
  };
}
