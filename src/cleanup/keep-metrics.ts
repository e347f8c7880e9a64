import { createMetricsWriter, findMetricsPath, type MetricsView } from '../agent/report/metrics.ts';
import type { Host } from '../agent/host.ts';
import type { LeakCount } from '../host/files/metrics-file.ts';
import { messageOf } from '../support/errors.ts';
import { countLeaks } from './leak-figures.ts';
import { listLeaks } from './remove.ts';

export interface MetricsKeeping extends MetricsView, Pick<Host, 'engine' | 'names' | 'signal'> {
  /** Counts elsewhere than in this process, which must not hold a list of any size. */
  readonly count?: () => Promise<LeakCount | undefined>;
}

/**
 * Writes the textfile for Prometheus while the agent runs, if one is configured. Reads the files of the host every
 * HOUSEKEEPING. Counts leaked helpers at the start and then every HOUSEKEEPING_TURNS of these, because it needs a long list.
 * Others write the file as well, at the start above all: a worker that exits, and the agent's own state. One that has read the
 * file before a count was in it drops the count. So every write has the last count, and the first one is repeated soon.
 * Returns when the signal is aborted.
 */
export async function keepMetrics(keeping: MetricsKeeping): Promise<never> {
  const { configuration, clock, signal } = keeping;
  const { limits } = configuration;
  const write = createMetricsWriter(keeping);
  let count: LeakCount | undefined;
  for (let turns = 0; ;) {
    let pause = limits.HOUSEKEEPING;
    if ((await findMetricsPath(configuration)) !== undefined) {
      if (turns === 0) pause = limits.METRICS_AGAIN;
      if (turns % limits.HOUSEKEEPING_TURNS === 0) count = (await countOnce(keeping)) ?? count;
      await write(count);
      turns += 1;
    }
    await clock.sleep(pause, signal);
  }
}

async function countOnce({
  engine,
  names,
  clock,
  configuration,
  log,
  signal,
  count,
}: MetricsKeeping): Promise<LeakCount | undefined> {
  try {
    if (count !== undefined) return await count();
    const { total, lastHour } = countLeaks(await listLeaks(engine, names), clock.now(), configuration.limits);
    return { total, lastHour, countedAt: clock.now() };
  } catch (error) {
    signal.throwIfAborted();
    log.debug('could not count the leaked helpers for the metrics', { error: messageOf(error) });
    return undefined;
  }
}
