import { inspectOwnContainer } from '../agent/identity/self.ts';
import type { LeakFigures } from '../cleanup/leak-figures.ts';
import { collectStatus, type StatusCollection } from '../doctor/collect.ts';
import type { Seen } from '../doctor/snapshot.ts';
import { buildStatusReport, type StatusReport } from '../doctor/status-report.ts';
import { connectEngine } from '../engine/docker-engine.ts';
import type { Engine } from '../engine/engine.ts';
import { deadlineIn } from '../support/deadline.ts';
import { silentLog } from '../support/log.ts';
import { adoptNames, whenRefusedIn, type Context } from './context.ts';

/** Collects what `status` shows of this host. Changes nothing; what cannot be read does not hide the rest. */
export async function readStatusReport(
  context: Context,
  leaks?: StatusCollection['leaks'],
): Promise<StatusReport> {
  const { configuration } = context;
  const snapshot = await collectStatus({
    ...context,
    connect: async () => connect(context),
    // Typed inside an agent whose names a person chose, it shows those.
    findNames: async (engine) => adoptNames(context, await inspectOwnContainer(engine, configuration)).names,
    ...(leaks === undefined ? {} : { leaks }),
  });
  context.signal.throwIfAborted();
  return buildStatusReport(snapshot, configuration.limits);
}

/**
 * Shows the status again every STATUS_REFRESH until the signal is aborted or STATUS_WATCH is over. Leaked helpers, which
 * cost a long list, are counted every STATUS_LEAKS.
 */
export async function watchStatus(context: Context, show: (report: StatusReport) => void): Promise<void> {
  const { clock, signal, configuration } = context;
  const { limits } = configuration;
  const end = deadlineIn(limits.STATUS_WATCH, clock);
  let counted: { readonly leaks: Seen<LeakFigures>; readonly at: number } | undefined;
  const countRarely: StatusCollection['leaks'] = async (count) => {
    if (counted === undefined || clock.elapsed() - counted.at >= limits.STATUS_LEAKS) {
      counted = { leaks: await count(), at: clock.elapsed() };
    }
    return counted.leaks;
  };
  const isStopped = (): boolean => signal.aborted;
  while (!isStopped() && end.left() > 0) {
    try {
      show(await readStatusReport(context, countRarely));
      await clock.sleep(limits.STATUS_REFRESH, signal);
    } catch (error) {
      if (!isStopped()) throw error;
    }
  }
}

/** One try for each question: a person waits, and an overloaded engine is spared. */
async function connect({ configuration, version, command, clock, signal }: Context): Promise<Engine> {
  return connectEngine({
    socketPath: configuration.socketPath,
    whenRefused: whenRefusedIn(configuration),
    apiVersion: configuration.apiVersion,
    userAgent: `rancher-agent-entrypoint/${version} (${command})`,
    limits: { ...configuration.limits, CALL_TRIES: 1 },
    log: silentLog,
    clock,
    signal,
  });
}
