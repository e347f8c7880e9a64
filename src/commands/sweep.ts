import { hostOf } from '../agent/host.ts';
import { inspectOwnContainer } from '../agent/identity/self.ts';
import { isWorkerRunning } from '../agent/worker/client.ts';
import { countLeaks } from '../cleanup/leak-figures.ts';
import { listLeaks } from '../cleanup/remove.ts';
import { sweepLeaks } from '../cleanup/sweep.ts';
import { ExitCode } from '../support/errors.ts';
import type { Log } from '../support/log.ts';
import { adoptNames, openEngine, withAgentConf, type Context } from './context.ts';

/**
 * `sweep`: a process of its own beside the agent. Not for people. It sweeps what legacy entrypoints leaked; with `--count` it
 * counts that, and prints the figures as JSON. Both need a list that may be of any size, so they have their own memory limit:
 * whatever the list does to this process, the agent runs on (`cleanup/sweep-process.ts` starts it).
 * @returns the exit status
 */
export async function sweep(given: Context, args: readonly string[]): Promise<number> {
  const isCount = args.includes('--count');
  // The agent counts every few minutes, and its sweep has warned.
  const configured = await withAgentConf(isCount ? { ...given, log: quietly(given.log) } : given);
  const engine = await openEngine(configured, given.signal);
  const own = await inspectOwnContainer(engine, configured.configuration);
  const host = hostOf(adoptNames(configured, own), engine);
  if (isCount) {
    const { total, lastHour } = countLeaks(
      await listLeaks(engine, host.names),
      host.clock.now(),
      host.limits,
    );
    given.write(`${JSON.stringify({ total, lastHour })}\n`, 'stdout');
    return ExitCode.ok;
  }
  // One sweeper at a time: a worker sweeps for itself, and no transaction waits for this one.
  await sweepLeaks({ ...host, mayGoOn: async () => !(await isWorkerRunning(host)) });
  return ExitCode.ok;
}

function quietly(log: Log): Log {
  return {
    ...log,
    warn: (message, fields) => {
      log.debug(message, fields);
    },
  };
}
