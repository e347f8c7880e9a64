import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Paths } from '../support/configuration.ts';
import { systemCodeOf } from '../support/errors.ts';
import { resolveInRoot } from './mounts/root.ts';

/** The file of a container's json-file log. */
export interface ContainerLog {
  readonly containerId: string;
  readonly bytes: number;
  /** On the host. */
  readonly path: string;
}

/**
 * The json-file logs that have at least so many bytes, the largest first. Of a log in several files it is the present one: the
 * others have an end. The caller must see the processes of the host.
 * @param dockerRoot on the host, e.g. `/var/lib/docker`
 * @throws system errors other than ENOENT as they are
 */
export async function findLargeLogs(
  { proc }: Pick<Paths, 'proc'>,
  dockerRoot: string,
  containerIds: readonly string[],
  leastBytes: number,
): Promise<readonly ContainerLog[]> {
  const folder = await resolveInRoot(`${proc}/1/root`, join(dockerRoot, 'containers'));
  const logs = await Promise.all(
    containerIds.map(async (containerId): Promise<ContainerLog> => {
      const file = join(containerId, `${containerId}-json.log`);
      const path = join(dockerRoot, 'containers', file);
      return { containerId, bytes: await sizeOf(join(folder, file)), path };
    }),
  );
  return logs.filter(({ bytes }) => bytes >= leastBytes).sort((a, b) => b.bytes - a.bytes);
}

/** In bytes; 0 for a container with another log driver. */
async function sizeOf(file: string): Promise<number> {
  try {
    const found = await lstat(file);
    return found.isFile() ? found.size : 0;
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return 0;
    throw error;
  }
}
