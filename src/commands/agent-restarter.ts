import { inspectOwnContainer } from '../agent/identity/self.ts';
import { restartAgent } from '../cleanup/agent-restarter.ts';
import { ExitCode, UsageError } from '../support/errors.ts';
import { startHeartbeat } from '../agent/run/heartbeat.ts';
import { openEngine, requireSoundConfiguration, type Context } from './context.ts';

/** `agent-restarter AGENT CLEANUP`: what the agent restarter's container runs (`cleanup/agent-restarter.ts`). Not for people. */
export async function restarter(context: Context, args: readonly string[]): Promise<number> {
  requireSoundConfiguration(context);
  const [agent, cleanup] = args;
  if (agent === undefined || cleanup === undefined)
    throw new UsageError('agent-restarter: created by cleanup --stop-agent');
  startHeartbeat(context.configuration.limits);
  const engine = await openEngine(context);
  const own = await inspectOwnContainer(engine, context.configuration);
  const { limits } = context.configuration;
  await restartAgent({ ...context, engine, limits }, { agent, cleanup, own: own?.id }, context.signal);
  return ExitCode.ok;
}
