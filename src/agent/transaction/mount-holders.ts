import { findMountHolders, type MountHolder } from '../../host/mounts/holders.ts';
import { shortId } from '../../engine/containers.ts';
import { messageOf } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import type { Observed } from './observe.ts';

/**
 * A process that holds a container's mounts, so that the container cannot be removed. The engine's message `device or
 * resource busy` does not name it.
 */
export interface Holder {
  readonly pid: number;
  readonly command: string;
  /** Processes that share those mounts, this one included. */
  readonly processes: number;
  /** The container they belong to, by name where the engine knows it; none for processes of the host itself. */
  readonly container?: string;
  readonly mountPoint: string;
}

export type HolderView = Pick<Host, 'engine' | 'paths' | 'limits' | 'clock' | 'log'>;

/**
 * Searches for the holders of a container that could not be removed, whatever the engine's message was: its wording changed
 * with every version. The search reads the mounts once per failed removal. It only explains, so it never throws.
 */
export async function nameHolders(view: HolderView, container: Observed): Promise<readonly Holder[]> {
  return nameHoldersOf(view, container.name, [container.id, ...(container.layers ?? [])]);
}

/**
 * The same for several containers in one search.
 * @param ids of the containers and of their layers
 */
export async function nameHoldersOf(
  view: HolderView,
  what: string,
  ids: readonly string[],
): Promise<readonly Holder[]> {
  const { paths, limits, clock, log } = view;
  try {
    const { holders, complete } = await findMountHolders({
      paths,
      ids,
      limits,
      clock,
      exceptPid: process.pid,
    });
    if (!complete) log.info('could not read the mounts of all processes in time');
    const shown = holders.slice(0, limits.HOLDERS_SHOWN);
    return await Promise.all(shown.map(async (holder) => nameHolder(view, holder)));
  } catch (error) {
    log.debug(`cannot find out who holds ${what}`, { error: messageOf(error) });
    return [];
  }
}

/** `cadvisor (pid 812 and 3 more, container monitoring)` */
export function describeHolder({ pid, command, processes, container }: Holder): string {
  const others = processes > 1 ? ` and ${processes - 1} more` : '';
  const where = container === undefined ? 'on the host itself' : `container ${container}`;
  return `${command} (pid ${pid}${others}, ${where})`;
}

async function nameHolder({ engine }: HolderView, holder: MountHolder): Promise<Holder> {
  const { pid, command, processes, container, mountPoints } = holder;
  const found = container === undefined ? undefined : await engine.inspectContainer(container);
  const name = found?.name ?? (container === undefined ? undefined : shortId(container));
  return {
    pid,
    command,
    processes,
    ...(name === undefined ? {} : { container: name }),
    mountPoint: mountPoints[0] ?? '',
  };
}
