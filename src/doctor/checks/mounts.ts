import { shortId } from '../../engine/containers.ts';
import type { MountHolder } from '../../host/mounts/holders.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { fine, unseen, type Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';

/** Processes that hold the mounts of other containers, whose removal then fails with "device or resource busy". */
export function checkMounts({ mounts, info, containers }: HostSnapshot, limits: Limits): readonly Finding[] {
  if (!mounts.known) return [unseen('mounts', mounts)];
  const { holders, complete, kernelDetaches } = mounts.value;
  const partly = complete ? '' : ' (not all processes could be read in time)';
  const figures = {
    holders: holders.length,
    mounts: holders.reduce((sum, { mounts: count }) => sum + count, 0),
  };
  if (holders.length === 0)
    return [fine('mounts', `no process holds mounts of other containers${partly}`, figures)];
  const shown = holders
    .slice(0, limits.DOCTOR_NAMED)
    .map((holder) => describe(holder, containersOf(containers)));
  const more =
    holders.length > limits.DOCTOR_NAMED ? ` and ${holders.length - limits.DOCTOR_NAMED} more` : '';
  const text = `${shown.join(', ')}${more}${partly}`;
  const isBlockDevice = info.known && info.value.storageDriver === 'devicemapper';
  if (kernelDetaches && !isBlockDevice) {
    return [fine('mounts', `held by ${text}; this kernel removes the containers all the same`, figures)];
  }
  return [
    {
      check: 'mounts',
      level: 'warning',
      text: `held by ${text}`,
      cause: 'mounts-held',
      advice:
        'The removal of their containers may fail with "device or resource busy": stop or restart the holder, and let it bind less than / or /var/lib.',
      figures,
    },
  ];
}

function describe(
  { command, pid, container, mounts }: MountHolder,
  names: ReadonlyMap<string, string>,
): string {
  const where =
    container === undefined ? 'on the host' : `container ${names.get(container) ?? shortId(container)}`;
  const many = mounts === 1 ? '1 mount' : `${mounts} mounts`;
  return `${command} (pid ${pid}, ${where}: ${many})`;
}

function containersOf(containers: HostSnapshot['containers']): ReadonlyMap<string, string> {
  return new Map(containers.known ? containers.value.map(({ id, name }) => [id, name]) : []);
}
