import { readAgentConf } from '../../control-plane/agent-conf.ts';
import { nextAttemptAt, readAttempts } from '../../host/files/attempts.ts';
import { readLockHolder } from '../../host/files/lock.ts';
import {
  writeMetricsFile,
  type LeakCount,
  type Metrics,
  type ServingFigures,
} from '../../host/files/metrics-file.ts';
import { readStatus } from '../../host/files/status.ts';
import { metricsVariable, type Configuration } from '../../support/configuration.ts';
import { DeadlineError, withDeadline } from '../../support/deadline.ts';
import { messageOf } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import { readServing, type ServingReading } from '../run/serving/file.ts';

export interface MetricsView extends Pick<Host, 'clock' | 'log'> {
  readonly configuration: Pick<Configuration, 'paths' | 'limits' | 'environment'>;
}

/**
 * Writes the textfile for Prometheus if one is asked for. Never throws; a failure is logged once. A call whose disk does not answer is
 * the last one until it does: each would keep one of Node's threads, and metrics must not take those that the agent needs.
 */
export type MetricsWriter = (leaks?: LeakCount) => Promise<void>;

/**
 * A writer for this process. It is asked for by `AGENT_METRICS_FILE`, in the environment or in `agent.conf`: the latter
 * counts for every worker as well, and outlives every upgrade.
 */
export function createMetricsWriter(view: MetricsView): MetricsWriter {
  let complained = false;
  let isHanging = false;
  const write = async (leaks: LeakCount | undefined): Promise<void> => {
    const file = await findMetricsPath(view.configuration);
    if (file === undefined) return;
    await writeMetricsFile(view.configuration.paths, file, { ...(await gather(view)), leaks });
  };
  return async (leaks) => {
    if (isHanging) return;
    const writing = write(leaks);
    const answers = (): void => {
      isHanging = false;
    };
    try {
      await withDeadline('write the metrics', view.configuration.limits.METRICS_FILE, async () => writing);
      complained = false;
    } catch (error) {
      if (error instanceof DeadlineError) {
        isHanging = true;
        writing.then(answers, answers);
      }
      if (!complained) view.log.warn('the metrics cannot be written', { error: messageOf(error) });
      complained = true;
    }
  };
}

/** The path of the textfile on the host, or undefined if none is wanted. */
export async function findMetricsPath({
  environment,
  paths,
}: Pick<Configuration, 'paths' | 'environment'>): Promise<string | undefined> {
  const { variables } = await readAgentConf(`${paths.rancher}/etc/agent.conf`);
  const file = variables[metricsVariable] ?? environment[metricsVariable];
  return file === '' ? undefined : file;
}

/** What the files of this host say; it costs no request. */
async function gather({ configuration, clock }: MetricsView): Promise<Omit<Metrics, 'leaks'>> {
  const { paths, limits } = configuration;
  const now = clock.now();
  const [reading, { attempts }, lock, serving] = await Promise.all([
    readStatus(paths),
    readAttempts(paths),
    readLockHolder(paths.entrypoint, limits, now),
    readServing(paths, clock, limits),
  ]);
  const status = reading.kind === 'valid' ? reading.status : undefined;
  const next = attempts.targets
    .map((record) => nextAttemptAt(record, limits, now))
    .filter((time) => time !== undefined);
  return {
    state: status?.state,
    since: timeOf(status?.since),
    lastSuccessAt: timeOf(status?.lastSuccessAt),
    failedAttempts: attempts.targets.reduce((sum, { failures }) => sum + failures, 0),
    nextAttemptAt: next.length === 0 ? timeOf(status?.nextAttemptAt) : Math.min(...next),
    unremovable: status?.unremovable?.length ?? 0,
    serving: figuresOf(serving),
    lockAge: lock.state === 'free' ? undefined : lock.untouchedMs,
  };
}

/** The record of an agent that is gone, or was gone when the host stopped, says nothing about the present. */
function figuresOf(reading: ServingReading): ServingFigures | undefined {
  if (reading.kind === 'missing' || reading.kind === 'damaged') return undefined;
  const { serving, since, lastAnswerAt, bootstrap } = reading.record;
  const isFresh = reading.kind === 'fresh';
  return {
    serving: isFresh ? serving : 'unknown',
    since: isFresh ? timeOf(since) : undefined,
    lastAnswerAt: timeOf(lastAnswerAt),
    runningSince: isFresh ? timeOf(bootstrap.runningSince) : undefined,
    lastExitStatus: bootstrap.lastExit?.status ?? undefined,
    failuresInARow: bootstrap.failuresInARow,
  };
}

function timeOf(text: string | undefined): number | undefined {
  return text === undefined ? undefined : Date.parse(text);
}
