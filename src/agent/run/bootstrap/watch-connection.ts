import { chooseProxy, hostAndPortOf } from '../../../control-plane/http/proxy.ts';
import { lookForConnection } from '../../../host/connections.ts';
import type { Environment } from '../../../support/configuration.ts';
import { messageOf } from '../../../support/errors.ts';
import type { BootstrapLoop } from './loop-parts.ts';

export interface WatchedRun {
  /** The bootstrap's process, in our pid namespace. */
  readonly pid: number;
  /** What the script sees. */
  readonly environment: Environment;
  /** Aborted when the bootstrap has exited. */
  readonly exited: AbortSignal;
}

/**
 * Looks again and again whether the bootstrap, or the agent that it has become, holds a connection, and reports it: soon after
 * the start, and every CONNECTION_POLL while there is one. Never rejects.
 */
export async function watchConnection(
  loop: Pick<BootstrapLoop, 'serving' | 'clock' | 'log' | 'configuration' | 'signal'>,
  { pid, environment, exited }: WatchedRun,
): Promise<void> {
  const { serving, clock, log, configuration } = loop;
  const { limits, paths } = configuration;
  if (serving?.connection === undefined) return;
  const signal = AbortSignal.any([loop.signal, exited]);
  const look = {
    ...{ proc: paths.proc, pid, localPorts: portsOf(environment) },
    deadlineMs: limits.CONNECTION_LOOK,
    maxProcesses: limits.CONNECTION_PROCESSES,
    maxFiles: limits.CONNECTION_FILES,
  };
  // Nothing is proven before the first look.
  serving.connection('none');
  try {
    for (let waiting = limits.CONNECTION_POLL_MIN; ;) {
      await clock.sleep(waiting, signal);
      const sight = await lookForConnection(look);
      if (signal.aborted) return;
      serving.connection(sight);
      const doubled = Math.min(2 * waiting, limits.CONNECTION_POLL_WAITING);
      waiting = sight === 'none' ? doubled : limits.CONNECTION_POLL;
    }
  } catch (error) {
    if (!signal.aborted)
      log.error('the connections of the bootstrap are not watched any more', { error: messageOf(error) });
  }
}

/** Of the server and of the proxy on the way to it: they may be on this machine. */
function portsOf(environment: Environment): readonly number[] {
  const url = URL.parse(environment['CATTLE_URL'] ?? '');
  if (url === null) return [];
  try {
    const proxy = chooseProxy(url, environment);
    return [url, ...(proxy === undefined ? [] : [proxy])].map(portOf);
  } catch {
    return [portOf(url)];
  }
}

function portOf(url: URL): number {
  return Number(hostAndPortOf(url).port);
}
