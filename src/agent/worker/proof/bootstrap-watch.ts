import * as v from 'valibot';
import type { ContainerDetails } from '../../../engine/engine.ts';
import { isOutage } from '../../../engine/errors.ts';
import { readInside } from '../../../host/read-inside.ts';
import { deadlineIn, formatDuration, type Deadline } from '../../../support/deadline.ts';
import { messageOf } from '../../../support/errors.ts';
import { agentDoesNotRun, BootstrapFailsError } from '../../transaction/not-ready.ts';
import { oldAgents, type Observation, type Observed } from '../../transaction/observe.ts';
import { keysRevoked, servingUnknown } from '../../run/serving/causes.ts';
import { servingFile, servingRecordSchema, type ServingRecord } from '../../run/serving/record.ts';
import type { Work } from '../session.ts';
import { askRequirement } from './requirement.ts';
import { servingOf, type Serving } from './serving.ts';

export interface WatchResult {
  readonly serving: Serving;
  readonly parked: 'proven' | 'keep-parked';
}

/** What a record says about the bootstrap's proof (readiness.md, 4): pure. */
export type BootstrapVerdict = 'proven' | 'fails' | 'revoked' | 'unknown' | 'undecided';

export interface WatchLimits {
  /** So long (ms) the bootstrap must run. */
  readonly watchMs: number;
  /** So many exits with an error in a row are a failure. */
  readonly mostFailures: number;
}

/** Judges what an agent's record says. @param elapsed now, ms since the host started */
export function judgeBootstrap(
  { bootstrap, cause, serving }: ServingRecord,
  elapsed: number,
  { watchMs, mostFailures }: WatchLimits,
): BootstrapVerdict {
  const { runningSinceElapsed, lastExit, failuresInARow } = bootstrap;
  if (serving === 'unknown' && cause === servingUnknown) return 'unknown';
  if (failuresInARow >= mostFailures) return 'fails';
  if (runningSinceElapsed !== undefined && elapsed - runningSinceElapsed >= watchMs) return 'proven';
  if (lastExit?.byDesign === true && failuresInARow === 0) return 'proven';
  return cause === keysRevoked ? 'revoked' : 'undecided';
}

export interface BootstrapWatch {
  readonly work: Work;
  /** It was promoted although a check had failed: the first word about it decides. */
  readonly wasReady: boolean;
  /** No agent ran before: the parked one stays until the new one serves. */
  readonly isRescue: boolean;
}

/**
 * Watches the bootstrap of an agent that was promoted, until it has run for a while, exited by design, or failed three times in
 * a row while the server answered.
 * @throws BootstrapFailsError when the parked agent is to come back; NotReadyError when the agent itself exits
 */
export async function watchBootstrap(
  { work, wasReady, isRescue }: BootstrapWatch,
  agent: Observed,
  observation: Observation,
): Promise<WatchResult> {
  const { clock, configuration, reporter, signal } = work;
  const { limits } = configuration;
  const parked = oldAgents(observation).filter(({ managed, removalStarted }) => managed && !removalStarted);
  // With nobody to roll back to, a bootstrap that runs is enough: from then on the agent itself keeps the state true.
  const watchMs =
    parked.length === 0 ? Math.min(limits.VERIFY, limits.BOOTSTRAP_WATCH) : limits.BOOTSTRAP_WATCH;
  const bounds = { watchMs, mostFailures: limits.BOOTSTRAP_WATCH_EXITS };
  await reporter.working(`${agent.name} is active; watching its bootstrap`, 'watch');
  const deadline = deadlineIn(limits.BOOTSTRAP_WATCH_TOTAL, clock);
  let record: ServingRecord | undefined;
  let gap: Deadline | undefined;
  while (deadline.left() > 0) {
    const seen = await lookPatiently(work, agent);
    gap = seen.isStopped ? (gap ?? deadlineIn(limits.RESTART_GAP, clock)) : undefined;
    if (gap?.left() === 0) throw agentDoesNotRun(agent, seen.end);
    record = seen.record ?? record;
    // What was seen last proves nothing of an agent that is not seen now: it may have ended.
    const verdict =
      seen.record === undefined ? 'undecided' : judgeBootstrap(seen.record, clock.elapsed(), bounds);
    if (verdict === 'proven') return { serving: { kind: 'serves' }, parked: 'proven' };
    if (verdict === 'unknown' || verdict === 'revoked') break;
    if (verdict === 'fails') return await concludeFailure(work, record, parked);
    if (!wasReady && record?.serving === 'no' && record.cause !== undefined) break;
    await clock.sleep(limits.READY_POLL * 4, signal);
  }
  return { serving: servingOf(record), parked: isRescue ? 'keep-parked' : 'proven' };
}

/** Rolls back if that can help: a legacy agent does not work while its server requires another image. */
async function concludeFailure(
  work: Work,
  record: ServingRecord | undefined,
  parked: readonly Observed[],
): Promise<WatchResult> {
  const [old] = parked;
  const message = describeFailure(record);
  if (old !== undefined && (old.canStandBy || (await askRequirement(work, old)) === old.image)) {
    throw new BootstrapFailsError(message, {
      hint: "see why: docker logs of the agent, or the worker's log on the host",
    });
  }
  return { serving: { kind: 'not-serving', cause: 'bootstrap-fails', message }, parked: 'proven' };
}

function describeFailure(record: ServingRecord | undefined): string {
  const exit = record?.bootstrap.lastExit;
  const last =
    exit === undefined
      ? ''
      : `, the last time with status ${exit.status ?? exit.signal ?? 'unknown'} after ${formatDuration(exit.ms)}`;
  return `the server's bootstrap script failed ${record?.bootstrap.failuresInARow ?? 0} times in a row${last}`;
}

/** What a look at an agent and its record has shown. */
interface Look {
  readonly record?: ServingRecord;
  /** It was stopped, and nothing says that it failed: `docker restart` leaves such a gap. */
  readonly isStopped: boolean;
  /** State and exit status, for people. */
  readonly end: string;
}

/**
 * The record that an agent keeps in its own container; none where there is none of this start, or it cannot be read.
 * @throws NotReadyError when the agent has exited by itself
 */
async function lookAtAgent(work: Work, agent: Observed): Promise<Look> {
  const now = await work.engine.inspectContainer(agent.id);
  const end = `state ${now?.state ?? 'gone'}, exit status ${now?.exitCode ?? 'unknown'}`;
  const hasRestarted = now !== undefined && now.restartCount > agent.restartCount;
  if (now?.state === 'exited' && now.restartPolicy === 'always' && !hasRestarted)
    return { isStopped: true, end };
  if (now?.state !== 'running' || hasRestarted) throw agentDoesNotRun(agent, end);
  const record = await readRecord(work, now);
  return { isStopped: false, end, ...(record === undefined ? {} : { record }) };
}

/** An engine that does not answer says nothing about the agent: the next look, or the end of the time, decides. */
async function lookPatiently(work: Work, agent: Observed): Promise<Look> {
  try {
    return await lookAtAgent(work, agent);
  } catch (error) {
    if (!isOutage(error)) throw error;
    work.log.warn('the engine does not answer while the bootstrap is watched', { error: messageOf(error) });
    return { isStopped: false, end: 'unknown' };
  }
}

/** What an agent says of itself now; undefined where it says nothing, or does not run. Throws nothing. */
export async function readServing(work: Work, agent: Observed): Promise<ServingRecord | undefined> {
  try {
    return (await lookAtAgent(work, agent)).record;
  } catch (error) {
    work.log.debug('the agent could not be asked whether it serves', { error: messageOf(error) });
    return undefined;
  }
}

async function readRecord(
  { configuration, log }: Work,
  { id, pid = 0, startedAt }: ContainerDetails,
): Promise<ServingRecord | undefined> {
  const { paths, limits } = configuration;
  try {
    const file = { proc: paths.proc, pid, path: servingFile, maxBytes: limits.READY_BYTES };
    const text = pid === 0 ? undefined : await readInside({ ...file, deadlineMs: limits.HOST_FILE });
    if (text === undefined) return undefined;
    const parsed = v.safeParse(servingRecordSchema, JSON.parse(text));
    if (!parsed.success) return undefined;
    const isOfThisStart = parsed.output.container === id && parsed.output.startedAt === startedAt;
    return isOfThisStart ? parsed.output : undefined;
  } catch (error) {
    log.debug("the agent's serving record cannot be read", { error: messageOf(error) });
    return undefined;
  }
}
