import { lookup } from 'node:dns/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { resolveInRoot } from '../../host/mounts/root.ts';
import { seesHostMounts } from '../../host/mounts/namespace.ts';
import { readSmallFile } from '../../host/files/read.ts';
import { withDeadline } from '../../support/deadline.ts';
import { systemCodeOf } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Host } from '../host.ts';
import { resolverChanged, socketDead } from './serving/causes.ts';
import type { Reason } from './serving/decision.ts';

/*
 * The two faults of a running agent that a restart of its container cures, and nothing else does (readiness §5). Docker binds
 * the socket file, and copies resolv.conf, when a container starts: a daemon that is restarted creates another socket, and a
 * host that gets other name servers writes another file.
 *
 * A dead socket is for good, and the server's agent has the same one: it can start no container. So this agent exits, and the
 * engine starts its container again. Docker itself does not act on an unhealthy container, and 20.10 no longer runs the health check
 * of one that it has found again (engine-notes §9). A resolv.conf is left to people: a websocket that is open needs no name.
 */

export interface CureWatch extends Pick<Host, 'paths' | 'limits' | 'clock' | 'signal'> {
  /** Of the engine, in this container. */
  readonly socketPath: string;
  /** Of the engine, on the host. */
  readonly hostSocket: string;
  /** The name that the agent must resolve: the server's. */
  readonly serverHost: string;
  /** Whether the last request to the server got no live answer. */
  readonly isUnanswered: () => boolean;
  /** Told each time; undefined: nothing that a restart cures is wrong. */
  readonly onChecked: (trouble: Reason | undefined) => void;
  /**
   * Called when the socket has been dead for SOCKET_PATIENCE. Never where this process has not seen it alive: a restart has not
   * cured it then, or it was never the host's socket.
   */
  readonly onDeadSocket: () => void;
}

/** Looks every HEALTH_PROBE, until the signal is aborted. Where the host's files cannot be seen, nothing is ever found. */
export async function watchCures(watch: CureWatch): Promise<never> {
  const { clock, limits, signal, paths } = watch;
  const seesHost = await seesHostMounts(paths);
  const atStart = seesHost ? await readResolver(watch) : undefined;
  const wasAlive = (await connectTo(watch.socketPath, limits)) === 'accepts';
  let deadSince: number | undefined;
  for (;;) {
    await clock.sleep(limits.HEALTH_PROBE, signal);
    if (!seesHost) continue;
    const dead = await findDeadSocket(watch);
    watch.onChecked(dead ?? (await findOldResolver(watch, atStart)));
    deadSince = dead === undefined ? undefined : (deadSince ?? clock.elapsed());
    const isForGood = deadSince !== undefined && clock.elapsed() - deadSince >= limits.SOCKET_PATIENCE;
    if (wasAlive && isForGood) watch.onDeadSocket();
  }
}

/** The socket here refuses, and the host's, under the same path there, accepts. A daemon that is down refuses at both. */
export async function findDeadSocket(
  watch: Pick<CureWatch, 'paths' | 'limits' | 'socketPath' | 'hostSocket'>,
): Promise<Reason | undefined> {
  const { paths, limits, socketPath, hostSocket } = watch;
  if ((await connectTo(socketPath, limits)) !== 'refuses') return undefined;
  const onHost = await resolveInRoot(`${paths.proc}/1/root`, hostSocket).catch(() => undefined);
  if (onHost === undefined || (await connectTo(onHost, limits)) !== 'accepts') return undefined;
  const message = "the engine's socket in this container is dead, while the host's answers";
  return { cause: socketDead, message };
}

/** The host has other name servers than at the start, and here the server's name is not found. */
export async function findOldResolver(
  watch: Pick<CureWatch, 'paths' | 'limits' | 'serverHost' | 'isUnanswered'>,
  atStart: string | undefined,
): Promise<Reason | undefined> {
  const { limits, serverHost, isUnanswered } = watch;
  if (atStart === undefined || serverHost === '' || !isUnanswered()) return undefined;
  const now = await readResolver(watch);
  if (now === undefined || now === atStart || (await resolves(serverHost, limits))) return undefined;
  const message = `the host's resolv.conf has changed since the start, and ${serverHost} cannot be resolved here`;
  return { cause: resolverChanged, message };
}

async function connectTo(path: string, limits: Limits): Promise<'accepts' | 'refuses' | 'unknown'> {
  const socket = connect({ path });
  try {
    await withDeadline(
      'connect to the socket of the engine',
      limits.HEALTH_CONNECT,
      async () =>
        new Promise<void>((resolve, reject) => {
          socket.once('connect', resolve);
          socket.once('error', reject);
        }),
    );
    return 'accepts';
  } catch (error) {
    return systemCodeOf(error) === 'ECONNREFUSED' ? 'refuses' : 'unknown';
  } finally {
    // An error that comes after the deadline is nobody's any more.
    socket.on('error', () => undefined);
    socket.destroy();
  }
}

/** Only what a name server says, or that none answers, is a failure of DNS. */
async function resolves(host: string, limits: Limits): Promise<boolean> {
  try {
    await withDeadline('resolve the name of the server', limits.HEALTH_LOOKUP, async () => lookup(host));
    return true;
  } catch {
    return false;
  }
}

/** @returns undefined where it cannot be read */
async function readResolver({
  paths,
  limits,
}: Pick<CureWatch, 'paths' | 'limits'>): Promise<string | undefined> {
  try {
    const path = await resolveInRoot(join(paths.proc, '1/root'), '/etc/resolv.conf');
    return await readSmallFile(path, { maxBytes: limits.HEALTH_FILE });
  } catch {
    return undefined;
  }
}
