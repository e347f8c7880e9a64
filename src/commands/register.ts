import { inspectOwnContainer, ownImageOf } from '../agent/identity/self.ts';
import { requirePoolRoom } from '../agent/worker/storage-guard.ts';
import { hostOf } from '../agent/host.ts';
import { delegate } from '../agent/worker/delegate.ts';
import { describeCaller } from '../agent/worker/request.ts';
import { chooseProxy } from '../control-plane/http/proxy.ts';
import { parseFingerprint } from '../control-plane/certificates.ts';
import { validateAgentIp } from '../control-plane/agent-ip.ts';
import { requireHttps } from '../control-plane/transport.ts';
import { parseServerUrl } from '../control-plane/url.ts';
import { ExitCode } from '../support/errors.ts';
import { openEngine, requireSoundConfiguration, type Context } from './context.ts';
import { reportingRefusal } from './storage-refusal.ts';

/**
 * Registers this host with the server behind `registrationUrl` and creates its agent (contract §2). What a person typed is
 * checked here, before anything is created; the rest is done by the worker.
 * @param force replaces an unmanaged container that has the agent's name
 * @returns the exit status
 * @throws ConfigurationError for a URL, an address, a fingerprint or a proxy that cannot work
 */
export async function registerUrl(
  context: Context,
  registrationUrl: string,
  force: boolean,
): Promise<number> {
  requireSoundConfiguration(context);
  const { configuration, secrets, signal } = context;
  const server = parseServerUrl(registrationUrl, configuration.profile);
  secrets.add(server.token);
  requireHttps(server.href, configuration.environment);
  const agentIp = configuration.environment['CATTLE_AGENT_IP'];
  if (agentIp !== undefined && agentIp !== '') validateAgentIp(agentIp);
  parseFingerprint(configuration.environment['CA_FINGERPRINT'] ?? '');
  chooseProxy(new URL(server.href), configuration.environment);
  const engine = await openEngine(context, signal);
  const own = await inspectOwnContainer(engine, configuration);
  const targetImage = ownImageOf(own, configuration);
  const about = describeCaller(own, { force, upgradeNames: context.names.upgrades });
  const caller = { ...hostOf(context, engine), write: context.write };
  return reportingRefusal(context, async () => {
    await requirePoolRoom(engine, own, configuration.limits);
    return delegate(caller, {
      task: 'register',
      workerImage: targetImage,
      own,
      targetImage,
      registrationUrl,
      about,
    });
  });
}

/** `register`: the same with `RANCHER_URL`; without it there is nothing to do (contract §2). */
export async function register(context: Context, force: boolean): Promise<number> {
  const url = context.configuration.environment['RANCHER_URL'] ?? '';
  if (url !== '') return registerUrl(context, url, force);
  context.log.warn('RANCHER_URL is not set: nothing was registered');
  return ExitCode.ok;
}
