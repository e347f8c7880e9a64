import { runChecked, type HostCommands } from './namespace.ts';
import { selectMounts, type Mount } from './table.ts';

/**
 * Unmounts copies of other containers' mounts in our own mount namespace. They are there because the Docker root is mounted
 * into it. On old kernels such a copy keeps a container from being removed: "device or resource busy" (incident §2.6).
 * @param ids of containers and their layers, as they appear in the paths of mounts
 * @returns how many there were
 */
export async function releaseClonedMounts(host: HostCommands, ids: readonly string[]): Promise<number> {
  const isCloned = ({ mountPoint }: Mount): boolean => belongsTo(mountPoint, ids);
  const { mounts } = await selectMounts(`${host.paths.proc}/self/mountinfo`, isCloned);
  const points = findClonedMounts(mounts, ids);
  // Lazily: a process that has a file open there keeps only that file.
  for (const point of points) await runChecked(host, 'umount', ['--lazy', point]);
  return points.length;
}

/** The mount points that belong to these containers, the last one mounted first. */
export function findClonedMounts(mounts: readonly Mount[], ids: readonly string[]): readonly string[] {
  return mounts
    .map(({ mountPoint }) => mountPoint)
    .filter((point) => belongsTo(point, ids))
    .reverse();
}

function belongsTo(mountPoint: string, ids: readonly string[]): boolean {
  return ids.some((id) => id !== '' && mountPoint.split(/[/-]/).includes(id));
}
