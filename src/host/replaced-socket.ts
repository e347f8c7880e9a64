import { realpath } from 'node:fs/promises';
import { posix } from 'node:path';
import type { ReplacedSocket } from '../engine/transport.ts';
import type { Paths } from '../support/configuration.ts';
import { resolveInRoot } from './mounts/root.ts';
import { seesHostMounts } from './mounts/namespace.ts';
import { selectMounts, type Mount } from './mounts/table.ts';

/** How the kernel marks a mounted file whose name is gone (`show_mountinfo` in fs/proc_namespace.c). */
const deletedMark = '//deleted';

/**
 * Whether the engine's socket in this container is the file of an earlier run of the daemon: Docker binds the file, and a daemon
 * that starts makes another one (engine-notes §9). The kernel says so in our own mount table, whatever the engine says. Where
 * the processes of the host can be seen, the host's root has the new file, in the same place of the same file system.
 * @param socketPath in this container
 * @returns undefined if the socket is the present one, or nothing shows what it is
 */
export async function findReplacedSocket(
  paths: Paths,
  socketPath: string,
): Promise<ReplacedSocket | undefined> {
  try {
    const resolved = await realpath(posix.dirname(socketPath)).catch(() => posix.dirname(socketPath));
    const places = [socketPath, posix.join(resolved, posix.basename(socketPath))];
    const own = await selectMounts(`${paths.proc}/self/mountinfo`, ({ mountPoint }) =>
      places.includes(mountPoint),
    );
    const mount = own.mounts.at(-1);
    if (mount?.root.endsWith(deletedMark) !== true) return undefined;
    const file = { device: mount.device, path: mount.root.slice(0, -deletedMark.length) };
    return { present: (await seesHostMounts(paths)) ? await findOnHost(paths, file) : undefined };
  } catch {
    return undefined;
  }
}

/** The path of a file of a file system in the host's root, by the host's own mounts. */
async function findOnHost(
  paths: Paths,
  { device, path }: { readonly device: string; readonly path: string },
): Promise<string | undefined> {
  const holds = (mount: Mount): boolean => mount.device === device && isOnOrBelow(path, mount.root);
  const { mounts } = await selectMounts(`${paths.proc}/1/mountinfo`, holds);
  const [nearest] = [...mounts].sort((a, b) => b.root.length - a.root.length);
  if (nearest === undefined) return undefined;
  const onHost = posix.join(nearest.mountPoint, posix.relative(nearest.root, path));
  return resolveInRoot(`${paths.proc}/1/root`, onHost);
}

function isOnOrBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
