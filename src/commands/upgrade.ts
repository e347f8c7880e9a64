import { inspectOwnContainer, ownImageOf } from '../agent/identity/self.ts';
import { requirePoolRoom } from '../agent/worker/storage-guard.ts';
import { hostOf } from '../agent/host.ts';
import { delegate } from '../agent/worker/delegate.ts';
import { describeCaller } from '../agent/worker/request.ts';
import { requireHttps } from '../control-plane/transport.ts';
import { parseServerUrl } from '../control-plane/url.ts';
import { openEngine, requireSoundConfiguration, type Context } from './context.ts';
import { reportingRefusal } from './storage-refusal.ts';

/**
 * `upgrade`: the agent of this host created again from *this* image (contract §2). The work is a worker's, so that
 * killing this process, as old servers do every five seconds, changes nothing.
 * `force` replaces an unmanaged container that has the agent's name; `offline` promotes the new agent without asking the server;
 * `serverUrl` is the server that the keys belong to, where this host kept another one.
 * @returns the exit status
 * @throws ConfigurationError for a URL that cannot be a server's
 */
export async function upgrade(
  context: Context,
  {
    serverUrl,
    ...options
  }: { readonly force: boolean; readonly offline: boolean; readonly serverUrl: string | undefined },
): Promise<number> {
  requireSoundConfiguration(context);
  const { configuration, signal } = context;
  const server = serverUrl === undefined ? undefined : readOrigin(serverUrl, configuration);
  const engine = await openEngine(context, signal);
  const own = await inspectOwnContainer(engine, configuration);
  const targetImage = ownImageOf(own, configuration);
  const about = describeCaller(own, { ...options, server, upgradeNames: context.names.upgrades });
  const caller = { ...hostOf(context, engine), write: context.write };
  return reportingRefusal(context, async () => {
    await requirePoolRoom(engine, own, configuration.limits);
    return delegate(caller, { task: 'upgrade', workerImage: targetImage, own, targetImage, about });
  });
}

function readOrigin(url: string, { profile, environment }: Context['configuration']): string {
  const { href } = parseServerUrl(url, profile, '--server');
  requireHttps(href, environment);
  return new URL(href).origin;
}
