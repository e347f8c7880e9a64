import { inspectOwnContainer } from '../agent/identity/self.ts';
import { keepAgent } from '../cleanup/agent-restarter.ts';
import { ExitCode, UsageError } from '../support/errors.ts';
import { startHeartbeat } from '../agent/run/heartbeat.ts';
import { openEngine, requireSoundConfiguration, type Context } from './context.ts';

/** `keeper AGENT CLEANUP`: what the keeper's container runs (`agent/keeper.ts`). Not for people. */
export async function keeper(context: Context, args: readonly string[]): Promise<number> {
  requireSoundConfiguration(context);
  const [agent, cleanup] = args;
  if (agent === undefined || cleanup === undefined)
    throw new UsageError('keeper: made by cleanup --stop-agent');
  startHeartbeat(context.configuration.limits);
  const engine = await openEngine(context);
  const own = await inspectOwnContainer(engine, context.configuration);
  const { limits } = context.configuration;
  await keepAgent({ ...context, engine, limits }, { agent, cleanup, own: own?.id }, context.signal);
  return ExitCode.ok;
}
