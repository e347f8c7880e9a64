import { basename, dirname, isAbsolute, join } from 'node:path';
import { DeadlineError } from '../../support/deadline.ts';
import { ConfigurationError } from '../../support/errors.ts';
import type { Paths } from '../../support/configuration.ts';
import { writeFileAtomically } from './files.ts';
import { readSmallFile } from './read.ts';
import { seesHostMounts } from '../mounts/namespace.ts';
import { resolveInRoot } from '../mounts/root.ts';
import { hostStates, type HostState } from './status.ts';

/*
 * The state of this host for Prometheus: a textfile that node_exporter's collector of that name reads, in Prometheus'
 * text format 0.0.4. docs/monitoring.md has the names; they do not change within a version of this program.
 */

/** The content of the textfile. Times are milliseconds since 1970, ages are ms. */
export interface Metrics {
  /** Undefined: this entrypoint has not reported anything about this host yet. */
  readonly state: HostState | undefined;
  readonly since: number | undefined;
  readonly lastSuccessAt: number | undefined;
  /** Of all targets together, since the last success of each. */
  readonly failedAttempts: number;
  readonly nextAttemptAt: number | undefined;
  /** Managed containers that the engine could not remove. */
  readonly unremovable: number;
  /** Undefined: nobody holds the lock. */
  readonly lockAge: number | undefined;
  /** Undefined: not counted this time; the file keeps the last count. */
  readonly leaks: LeakCount | undefined;
  /** Undefined: no hardened agent has ever reported whether it serves. */
  readonly serving: ServingFigures | undefined;
}

/** Whether the active agent serves; `unknown` if its record is not updated any more. */
export interface ServingFigures {
  readonly serving: 'yes' | 'no' | 'unknown';
  readonly since: number | undefined;
  readonly lastAnswerAt: number | undefined;
  readonly runningSince: number | undefined;
  /** Undefined: no bootstrap has exited yet, or a signal stopped it. */
  readonly lastExitStatus: number | undefined;
  readonly failuresInARow: number;
}

export interface LeakCount {
  readonly total: number;
  readonly lastHour: number;
  readonly countedAt: number;
}

/** The text for node_exporter. */
export function renderMetrics(metrics: Metrics): string {
  const { state, leaks, serving } = metrics;
  return [
    ...family('state', 'Is 1 for the state of this host and 0 for the other states.', [
      ...hostStates.map((name): Sample => [`{state="${name}"}`, name === state ? 1 : 0]),
    ]),
    ...family(
      'state_since_timestamp_seconds',
      'When this state began, in seconds since 1970.',
      one(seconds(metrics.since)),
    ),
    ...family(
      'last_success_timestamp_seconds',
      'When the state was last ok, in seconds since 1970.',
      one(seconds(metrics.lastSuccessAt)),
    ),
    ...(serving === undefined ? [] : servingFamilies(serving)),
    ...family(
      'failed_attempts',
      'How many attempts at the required images failed.',
      one(metrics.failedAttempts),
    ),
    ...family(
      'next_attempt_timestamp_seconds',
      'When the next attempt may begin, in seconds since 1970.',
      one(seconds(metrics.nextAttemptAt)),
    ),
    ...family(
      'unremovable_containers',
      'How many containers of the agent the engine could not remove.',
      one(metrics.unremovable),
    ),
    ...family(
      'lock_held',
      'Is 1 while a command works on this host.',
      one(metrics.lockAge === undefined ? 0 : 1),
    ),
    ...family(
      'lock_age_seconds',
      'How long ago the holder updated the lock. Above 30 s, the holder is dead.',
      one(seconds(metrics.lockAge)),
    ),
    ...family(
      'leaked_helpers',
      'How many leaked helpers of the legacy entrypoint are on this host.',
      one(leaks?.total),
    ),
    ...family(
      'leaked_helpers_last_hour',
      'How many of the leaked helpers were created in the last hour.',
      one(leaks?.lastHour),
    ),
    ...family(
      'leaked_helpers_counted_timestamp_seconds',
      'When the leaked helpers were counted, in seconds since 1970.',
      one(seconds(leaks?.countedAt)),
    ),
  ].join('');
}

function servingFamilies(figures: ServingFigures): readonly string[] {
  const { serving, since, lastAnswerAt, runningSince, lastExitStatus, failuresInARow } = figures;
  return [
    ...family(
      'serving',
      'Is 1 for whether the agent serves (yes, no or unknown) and 0 for the others. Treat unknown as not serving.',
      [
        ...(['yes', 'no', 'unknown'] as const).map((name): Sample => [
          `{serving="${name}"}`,
          name === serving ? 1 : 0,
        ]),
      ],
    ),
    ...family(
      'serving_since_timestamp_seconds',
      'When the value of serving last changed, in seconds since 1970.',
      one(seconds(since)),
    ),
    ...family(
      'last_live_answer_timestamp_seconds',
      'When the server last accepted the agent keys, in seconds since 1970.',
      one(seconds(lastAnswerAt)),
    ),
    ...family(
      'bootstrap_running_since_timestamp_seconds',
      'When the running bootstrap started, in seconds since 1970. Absent while none runs.',
      one(seconds(runningSince)),
    ),
    ...family('bootstrap_last_exit_status', 'The exit status of the last bootstrap.', one(lastExitStatus)),
    ...family(
      'bootstrap_failures_in_a_row',
      'How often in a row the bootstrap exited with an error while the server answered.',
      one(failuresInARow),
    ),
  ];
}

/** The count in a textfile, so that a writer that does not count can keep it. */
export function readLeakCount(text: string): LeakCount | undefined {
  const valueOf = (name: string): number | undefined => {
    const value = new RegExp(`^${prefix}${name} ([0-9.e+]+)$`, 'm').exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const total = valueOf('leaked_helpers');
  const lastHour = valueOf('leaked_helpers_last_hour');
  const countedAt = valueOf('leaked_helpers_counted_timestamp_seconds');
  if (total === undefined || lastHour === undefined || countedAt === undefined) return undefined;
  return { total, lastHour, countedAt: countedAt * 1000 };
}

/**
 * Writes the textfile, whole or not at all; the folder must be there.
 * @param file a path on the host
 * @throws ConfigurationError for a path that node_exporter would not read; system errors
 */
export async function writeMetricsFile(paths: Paths, file: string, metrics: Metrics): Promise<void> {
  const path = await findMetricsFile(paths, file);
  const leaks = metrics.leaks ?? readLeakCount((await readPresent(path)) ?? '');
  await writeFileAtomically(path, renderMetrics({ ...metrics, leaks }), { mode: 0o644 });
}

/** The folder may be node_exporter's, who can put anything there. It is replaced, whatever it is. @throws DeadlineError */
async function readPresent(path: string): Promise<string | undefined> {
  try {
    return await readSmallFile(path);
  } catch (error) {
    if (error instanceof DeadlineError) throw error;
    return undefined;
  }
}

/** In the host's root, if the host's processes are visible, as for an agent and its worker; else in our own root. */
async function findMetricsFile(paths: Paths, file: string): Promise<string> {
  if (!isAbsolute(file) || !file.endsWith('.prom')) {
    throw new ConfigurationError(`the path of the metrics must be absolute and end in .prom, not "${file}"`, {
      hint: 'node_exporter reads *.prom in the folder of --collector.textfile.directory',
    });
  }
  if (!(await seesHostMounts(paths))) return file;
  return join(await resolveInRoot(`${paths.proc}/1/root`, dirname(file)), basename(file));
}

const prefix = 'rancher_agent_';

type Sample = readonly [labels: string, value: number];

function one(value: number | undefined): readonly Sample[] {
  return value === undefined ? [] : [['', value]];
}

function family(name: string, help: string, samples: readonly Sample[]): readonly string[] {
  if (samples.length === 0) return [];
  const full = `${prefix}${name}`;
  return [
    `# HELP ${full} ${help}\n# TYPE ${full} gauge\n`,
    ...samples.map(([labels, value]) => `${full}${labels} ${value}\n`),
  ];
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.round(ms) / 1000;
}
