import { join } from 'node:path';
import * as v from 'valibot';
import type { ContainerDetails } from '../../../engine/engine.ts';
import { describeEnd } from '../../../engine/containers.ts';
import { isOutage } from '../../../engine/errors.ts';
import { readSmallFile } from '../../../host/files/read.ts';
import { readInside } from '../../../host/read-inside.ts';
import { deadlineIn, formatDuration, type Deadline } from '../../../support/deadline.ts';
import { messageOf } from '../../../support/errors.ts';
import { agentDoesNotRun, BootstrapFailsError, DownloadFailsError } from '../../transaction/not-ready.ts';
import { oldAgents, type Observation, type Observed } from '../../transaction/observe.ts';
import { heartbeatFile } from '../../run/heartbeat.ts';
import { agentNotConnected, keysRevoked, servingUnknown } from '../../run/serving/causes.ts';
import { servingRecordSchema, type ServingRecord } from '../../../host/files/serving-record.ts';
import { servingFile } from '../../run/serving/record.ts';
import type { Work } from '../session.ts';
import { findDownloadFault } from './download.ts';
import { askRequirement } from './requirement.ts';
import { servingOf, type Serving } from './serving.ts';

export interface WatchResult {
  readonly serving: Serving;
  readonly parked: 'proven' | 'keep-parked';
}

/** What an agent's record shows about the proof of its bootstrap (readiness §4). Pure. */
export type BootstrapVerdict = 'proven' | 'fails' | 'revoked' | 'unknown' | 'undecided';

export interface WatchLimits {
  /** How long (ms) the bootstrap must run. */
  readonly watchMs: number;
  /** How many exits with an error in a row are a failure. */
  readonly mostFailures: number;
  /** A life sign younger than this (ms) counts as present. */
  readonly freshMs: number;
}

/**
 * Classifies an agent's record. The time in it alone proves nothing: the record may be a minute old, and the agent may have
 * hung since then.
 * @param elapsed now, ms since the host started
 * @param lifeSign when the agent's event loop last turned, by the same clock
 */
export function judgeBootstrap(
  { bootstrap, cause, serving }: ServingRecord,
  elapsed: number,
  lifeSign: number,
  { watchMs, mostFailures, freshMs }: WatchLimits,
): BootstrapVerdict {
  const { runningSinceElapsed = Infinity, lastExit, failuresInARow } = bootstrap;
  if (serving === 'unknown' && cause === servingUnknown) return 'unknown';
  if (failuresInARow >= mostFailures) return 'fails';
  // Left out by an agent that cannot see it, and by earlier versions.
  const isConnected = bootstrap.connection !== 'none';
  const isAlive = elapsed - lifeSign < freshMs || lifeSign - runningSinceElapsed >= watchMs;
  if (isAlive && isConnected && elapsed - runningSinceElapsed >= watchMs) return 'proven';
  if (cause === agentNotConnected) return 'unknown';
  if (lastExit?.byDesign === true && failuresInARow === 0) return 'proven';
  return cause === keysRevoked ? 'revoked' : 'undecided';
}

export interface BootstrapWatch {
  readonly work: Work;
  /** It was promoted although a check had failed: the first report about it decides. */
  readonly wasReady: boolean;
  /** No agent ran before: the parked one stays until the new one serves. */
  readonly isRescue: boolean;
}

/**
 * Watches the bootstrap of an agent that was promoted, until it has run for a while, exited by design, or failed
 * three times in
 * a row while the server answered.
 * @throws BootstrapFailsError or DownloadFailsError when the parked agent is to come back; NotReadyError when the agent itself exits
 */
export async function watchBootstrap(
  { work, wasReady, isRescue }: BootstrapWatch,
  agent: Observed,
  observation: Observation,
): Promise<WatchResult> {
  const { clock, configuration, reporter, signal } = work;
  const { limits } = configuration;
  const parked = oldAgents(observation).filter(({ managed, removalStarted }) => managed && !removalStarted);
  // If a rollback is not possible, a running bootstrap is enough: from then on the agent itself keeps the state correct.
  const watchMs =
    parked.length === 0 ? Math.min(limits.VERIFY, limits.BOOTSTRAP_WATCH) : limits.BOOTSTRAP_WATCH;
  const bounds = { watchMs, mostFailures: limits.BOOTSTRAP_WATCH_EXITS, freshMs: limits.HEARTBEAT_FRESH };
  await reporter.working(`${agent.name} is active; watching its bootstrap`, 'watch');
  const deadline = deadlineIn(limits.BOOTSTRAP_WATCH_TOTAL, clock);
  let record: ServingRecord | undefined;
  let gap: Deadline | undefined;
  while (deadline.left() > 0) {
    const seen = await lookPatiently(work, agent);
    gap = seen.isStopped ? (gap ?? deadlineIn(limits.RESTART_GAP, clock)) : undefined;
    if (gap?.left() === 0) throw agentDoesNotRun(agent, seen.end);
    record = seen.record ?? record;
    // The last observation proves nothing if the agent cannot be observed now: it may have exited.
    const now = clock.elapsed();
    const verdict =
      seen.record === undefined ? 'undecided' : judgeBootstrap(seen.record, now, seen.lifeSign, bounds);
    if (verdict === 'proven') return { serving: { kind: 'serves' }, parked: 'proven' };
    if (verdict === 'unknown' || verdict === 'revoked') break;
    if (verdict === 'fails') return await concludeFailure(work, record, parked);
    if (seen.record !== undefined && now - seen.lifeSign >= limits.SERVING_STALE)
      return { serving: silentFor(agent.name, now - seen.lifeSign), parked: 'keep-parked' };
    if (!wasReady && record?.serving === 'no' && record.cause !== undefined) break;
    await clock.sleep(limits.BOOTSTRAP_WATCH_POLL, signal);
  }
  return { serving: atTheEnd(servingOf(record)), parked: isRescue ? 'keep-parked' : 'proven' };
}

/** It was watched for as long as a start may take: "it has just started" is no excuse any more. */
function atTheEnd(serving: Serving): Serving {
  return serving.kind === 'starting' ? { ...serving, kind: 'unknown', cause: servingUnknown } : serving;
}

/**
 * The agent runs and gives no life sign. Its process hangs, or its disk does not answer; from outside this looks the same.
 * So nothing is proven, nothing is rolled back, and the parked agent stays.
 */
function silentFor(name: string, ms: number): Serving {
  return {
    kind: 'unknown',
    cause: servingUnknown,
    message: `the agent runs and has given no life sign for ${formatDuration(ms)}`,
    hint: `its process hangs or its disk does not answer: docker logs --tail 50 ${name}; dmesg -T | tail -50`,
  };
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
    const fault = await findDownloadFault(work, old);
    if (fault !== undefined) {
      throw new DownloadFailsError(`${message}; its download fails for the parked agent as well: ${fault}`, {
        hint: 'see the log of the server, and the proxies in front of it: it must send what is below /configcontent',
      });
    }
    throw new BootstrapFailsError(message, {
      hint: 'see the output of its script: tail -50 /var/lib/rancher/entrypoint/worker.log',
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

/** What one observation of an agent and its record has shown. */
interface Look {
  readonly record?: ServingRecord;
  /** When its event loop last turned, as far as it shows: ms since the host started. */
  readonly lifeSign: number;
  /** It was stopped, and nothing shows that it failed: `docker restart` leaves such a gap. */
  readonly isStopped: boolean;
  /** State and exit status, for people. */
  readonly end: string;
}

/**
 * The record that an agent keeps in its own container; left out if there is none since this start, or it cannot be read.
 * @throws NotReadyError when the agent has exited without a request
 */
async function lookAtAgent(work: Work, agent: Observed): Promise<Look> {
  const now = await work.engine.inspectContainer(agent.id);
  const end = describeEnd(now);
  const hasRestarted = now !== undefined && now.restartCount > agent.restartCount;
  if (now?.state === 'exited' && now.restartPolicy === 'always' && !hasRestarted)
    return { isStopped: true, end, lifeSign: 0 };
  if (now?.state !== 'running' || hasRestarted) throw agentDoesNotRun(agent, end);
  const record = await readRecord(work, now);
  if (record === undefined) return { isStopped: false, end, lifeSign: 0 };
  const age = await ageOfHeartbeat(work, now);
  const beat = age === undefined ? 0 : work.clock.elapsed() - age;
  return { isStopped: false, end, record, lifeSign: Math.max(beat, record.updatedElapsed) };
}

/** An engine that does not answer shows nothing about the agent: the next observation, or the end of the time, decides. */
async function lookPatiently(work: Work, agent: Observed): Promise<Look> {
  try {
    return await lookAtAgent(work, agent);
  } catch (error) {
    if (!isOutage(error)) throw error;
    work.log.warn('the engine does not answer while the bootstrap is watched', { error: messageOf(error) });
    return { isStopped: false, end: 'unknown', lifeSign: 0 };
  }
}

/** What an agent reports about itself now; undefined if it reports nothing, or does not run. Never throws. */
export async function readServing(work: Work, agent: Observed): Promise<ServingRecord | undefined> {
  try {
    return (await lookAtAgent(work, agent)).record;
  } catch (error) {
    work.log.debug('the agent could not be asked whether it serves', { error: messageOf(error) });
    return undefined;
  }
}

async function readRecord(
  work: Work,
  { id, pid = 0, startedAt }: ContainerDetails,
): Promise<ServingRecord | undefined> {
  try {
    const text = await readIn(work, pid, servingFile);
    if (text === undefined) return undefined;
    const parsed = v.safeParse(servingRecordSchema, JSON.parse(text));
    if (!parsed.success) return undefined;
    const isOfThisStart = parsed.output.container === id && parsed.output.startedAt === startedAt;
    return isOfThisStart ? parsed.output : undefined;
  } catch (error) {
    work.log.debug("the agent's serving record cannot be read", { error: messageOf(error) });
    return undefined;
  }
}

/**
 * How long ago (ms) the agent's heartbeat was written; the clock that it goes by counts the sleep of the host, and
 * `Clock.elapsed` does not, so only the difference is useful.
 * @returns undefined where there is none, or it cannot be read
 */
async function ageOfHeartbeat(work: Work, { pid = 0 }: ContainerDetails): Promise<number | undefined> {
  try {
    const text = await readIn(work, pid, heartbeatFile);
    if (text === undefined) return undefined;
    const [written = '', now = ''] = [text, await readUptime(work)].map((line) => /^\d+/.exec(line)?.[0]);
    return written === '' || now === '' ? undefined : Math.max(0, Number(now) - Number(written)) * 1000;
  } catch (error) {
    work.log.debug("the agent's heartbeat cannot be read", { error: messageOf(error) });
    return undefined;
  }
}

async function readUptime({ configuration }: Work): Promise<string> {
  return (await readSmallFile(join(configuration.paths.proc, 'uptime'))) ?? '';
}

async function readIn({ configuration }: Work, pid: number, path: string): Promise<string | undefined> {
  const { paths, limits } = configuration;
  if (pid === 0) return undefined;
  return readInside({
    ...{ proc: paths.proc, pid, path },
    ...{ maxBytes: limits.READY_BYTES, deadlineMs: limits.HOST_FILE },
  });
}
