import { hostOf } from '../agent/host.ts';
import { inspectOwnContainer } from '../agent/identity/self.ts';
import { startHeartbeat } from '../agent/run/heartbeat.ts';
import { runAgent } from '../agent/run/run.ts';
import { keepMetrics } from '../cleanup/keep-metrics.ts';
import { countBeside, sweepBeside } from '../cleanup/sweep-process.ts';
import { adoptNames, openEngine, requireSoundConfiguration, withAgentConf, type Context } from './context.ts';

/** `run`: what the agent's container runs. Never returns. */
export async function run(given: Context): Promise<never> {
  requireSoundConfiguration(given);
  const heartbeat = startHeartbeat(given.configuration.limits);
  const configured = await withAgentConf(given);
  const engine = await openEngine(configured, given.signal);
  const own = await inspectOwnContainer(engine, configured.configuration);
  const context = adoptNames(configured, own);
  const host = hostOf(context, engine);
  const { write, command, version } = context;
  return runAgent({
    ...host,
    write,
    command,
    version,
    own,
    heartbeat,
    sweep: async () => sweepBeside({ ...host, write }),
    keepMetrics: async () => keepMetrics({ ...host, count: async () => countBeside({ ...host, write }) }),
  });
}
