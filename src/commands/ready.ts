import { inspectOwnContainer } from '../agent/identity/self.ts';
import { proveReadiness } from '../agent/run/readiness/readiness.ts';
import type { Fault, ReadinessResult } from '../agent/run/readiness/result.ts';
import { composeResult, type ContainerStart } from '../agent/run/readiness/ready-loop.ts';
import { readAgentSettings } from '../control-plane/open-connection.ts';
import type { Environment } from '../support/configuration.ts';
import { ConfigurationError, ExitCode, messageOf } from '../support/errors.ts';
import { openEngine, requireSoundConfiguration, withAgentConf, type Context } from './context.ts';

/**
 * `ready`: runs the checks once, here and now, whatever role this container has. Changes nothing.
 * @throws ConfigurationError where the environment has no server or no agent keys
 */
export async function checkReadiness(given: Context): Promise<ReadinessResult> {
  requireSoundConfiguration(given);
  const context = await withAgentConf(given);
  requireAgentSettings(context.configuration.environment);
  const [own, proof] = await Promise.all([
    findOwnStart(context),
    proveReadiness(context, { sideBySide: true }),
  ]);
  await proof.staged?.script.dispose();
  return composeResult(proof, { ...context, own });
}

/** Without a server and keys there is nothing to check, and the network is not at fault. */
function requireAgentSettings(environment: Environment): void {
  const hint =
    'run it in the agent: docker exec rancher-agent /run.sh ready; the runbook shows how to try another image';
  try {
    const { cattleUrl } = readAgentSettings(environment);
    if (URL.canParse(cattleUrl)) return;
  } catch (error) {
    throw new ConfigurationError(messageOf(error), { hint, cause: error });
  }
  throw new ConfigurationError('CATTLE_URL is no URL', { hint });
}

/** The exit status says whose fault it is, as the worker would. */
export function exitCodeOfReadiness({ failure }: ReadinessResult): ExitCode {
  return failure === undefined ? ExitCode.ok : exitCodes[failure.fault];
}

const exitCodes: Readonly<Record<Fault, ExitCode>> = {
  image: ExitCode.cannotChange,
  way: ExitCode.tryAgainLater,
  server: ExitCode.tryAgainLater,
  keys: ExitCode.notPermitted,
};

/** The checks need no engine: without one it is not known which container this is. */
async function findOwnStart(context: Context): Promise<ContainerStart> {
  const { configuration, signal, log } = context;
  const limits = { ...configuration.limits, CALL_TRIES: 1, ENGINE_CONNECT: configuration.limits.INSPECT };
  try {
    const engine = await openEngine({ ...context, configuration: { ...configuration, limits } }, signal);
    const own = await inspectOwnContainer(engine, configuration);
    if (own !== undefined) return own;
  } catch (error) {
    signal.throwIfAborted();
    log.debug('the engine does not say which container this is', { error: messageOf(error) });
  }
  return { id: '', startedAt: undefined, restartCount: 0 };
}
