import type { ContainerDetails } from '../../engine/engine.ts';
import { chooseProxy } from '../../control-plane/http/proxy.ts';
import type { Environment } from '../../support/configuration.ts';
import type { ConfiguredHost } from '../host.ts';
import { hostSocketOf, type OwnMounts } from '../identity/host-socket.ts';
import type { AgentReporter } from '../report/reporter.ts';
import type { Heartbeat } from './heartbeat.ts';
import { watchCures } from './restart-cures.ts';
import { servingUnknown } from './serving/causes.ts';
import { servingFileOf } from './serving/file.ts';
import { servingFile } from './serving/record.ts';
import { createServingTracker, type ServingTracker } from './serving/tracker.ts';

/** The tracker of an agent that has become active. @param own its container, if it is one */
export function trackServing(
  { configuration, clock, log, secrets, limits, paths }: ConfiguredHost,
  own: Pick<ContainerDetails, 'id' | 'startedAt' | 'image'> | undefined,
): ServingTracker {
  const { environment } = configuration;
  return createServingTracker({
    clock,
    limits,
    log,
    secrets,
    server: originOf(environment),
    container: own?.id ?? '',
    image: own?.image,
    startedAt: own?.startedAt ?? 0,
    files: { inside: servingFile, onHost: servingFileOf(paths) },
  });
}

/**
 * Tells the health check, and the state of the host, of what a restart of this container cures. Until the signal is aborted.
 * @param restart exits this process; undefined where the engine would not start its container again
 */
export async function watchForCures(
  host: ConfiguredHost & { readonly own: OwnMounts },
  {
    tracker,
    heartbeat,
    restart,
  }: {
    readonly tracker: ServingTracker;
    readonly heartbeat: Heartbeat;
    readonly restart: (() => void) | undefined;
  },
): Promise<never> {
  const { configuration, profile, clock, signal, limits, paths } = host;
  const { environment, socketPath } = configuration;
  return watchCures({
    paths,
    limits,
    clock,
    signal,
    socketPath,
    hostSocket: await hostSocketOf(profile, environment, host.own, socketPath),
    serverHost: nameToResolve(environment),
    isUnanswered: () => !tracker.isAnswered(),
    onChecked: (trouble) => {
      heartbeat.setTrouble(trouble?.message);
      tracker.setTrouble(trouble);
    },
    onDeadSocket: () => restart?.(),
  });
}

/** The bootstrap takes the place of this process: nobody observes it, or shows that it lives, from here on. */
export async function stopObserving(
  tracker: ServingTracker,
  heartbeat: Heartbeat,
  reporter: AgentReporter,
): Promise<void> {
  heartbeat.stop();
  tracker.becameUnknown(
    servingUnknown,
    'CATTLE_EXEC_AGENT: the bootstrap replaces the entrypoint, which can no longer observe it',
  );
  await tracker.settled(reporter);
}

function originOf(environment: Environment): string {
  const url = urlOf(environment);
  return url?.origin ?? '';
}

/** Behind a proxy it is the proxy's name that must be resolved here. */
function nameToResolve(environment: Environment): string {
  const url = urlOf(environment);
  if (url === undefined) return '';
  try {
    return bare((chooseProxy(url, environment) ?? url).hostname);
  } catch {
    return '';
  }
}

/** Addresses in brackets, as URLs have those of IPv6, are no names. */
function bare(hostname: string): string {
  return hostname.startsWith('[') ? '' : hostname;
}

function urlOf(environment: Environment): URL | undefined {
  return URL.parse(environment['CATTLE_URL'] ?? '') ?? undefined;
}
