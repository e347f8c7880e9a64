import { createMetricsWriter, findMetricsPath, type MetricsView } from '../agent/report/metrics.ts';
import type { RoleNames } from '../agent/identity/roles.ts';
import type { Engine } from '../engine/engine.ts';
import type { LeakCount } from '../host/files/metrics-file.ts';
import { messageOf } from '../support/errors.ts';
import { countLeaks } from './leak-figures.ts';
import { listLeaks } from './remove.ts';

export interface MetricsKeeping extends MetricsView {
  readonly engine: Engine;
  readonly names: RoleNames;
  readonly signal: AbortSignal;
}

/**
 * Writes the textfile for Prometheus while the agent runs, if one is configured. Reads the files of the host every
 * HOUSEKEEPING. Counts leaked helpers at the start and then every HOUSEKEEPING_TURNS of these, because it needs a long list.
 * Returns when the signal is aborted.
 */
export async function keepMetrics(keeping: MetricsKeeping): Promise<never> {
  const { configuration, clock, signal } = keeping;
  const { limits } = configuration;
  const write = createMetricsWriter(keeping);
  for (let turns = 0; ;) {
    if ((await findMetricsPath(configuration)) !== undefined) {
      await write(turns % limits.HOUSEKEEPING_TURNS === 0 ? await countOnce(keeping) : undefined);
      turns += 1;
    }
    await clock.sleep(limits.HOUSEKEEPING, signal);
  }
}

async function countOnce({
  engine,
  names,
  clock,
  configuration,
  log,
  signal,
}: MetricsKeeping): Promise<LeakCount | undefined> {
  try {
    const { total, lastHour } = countLeaks(await listLeaks(engine, names), clock.now(), configuration.limits);
    return { total, lastHour, countedAt: clock.now() };
  } catch (error) {
    signal.throwIfAborted();
    log.debug('could not count the leaked helpers for the metrics', { error: messageOf(error) });
    return undefined;
  }
}
