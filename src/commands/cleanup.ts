import {
  findOldAgent,
  startAgain,
  stopWithRestarter,
  type RestarterView,
} from '../cleanup/agent-restarter.ts';
import { inspectOwnContainer } from '../agent/identity/self.ts';
import { isWorkerRunning } from '../agent/worker/client.ts';
import { selectWorkerEnvironment } from '../agent/worker/request.ts';
import type { ContainerDetails, Engine } from '../engine/engine.ts';
import { buildReport, explainFailures, type CleanupReport } from '../cleanup/report.ts';
import { cleanUp, type CleanupProgress, type CleanupResult, type Job } from '../cleanup/remove-many.ts';
import { listCandidates, listRemovable, type Candidate } from '../cleanup/candidates.ts';
import { Pace } from '../cleanup/concurrency.ts';
import { judgeOnly, removeIf, type Fate } from '../cleanup/remove.ts';
import { readRoom, type Room } from '../cleanup/free-space.ts';
import { surveyHost, type Survey } from '../cleanup/scan.ts';
import {
  EngineUnavailableError,
  ExitCode,
  messageOf,
  TryAgainLaterError,
  UsageError,
} from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import { openEngine, requireSoundConfiguration, type Context } from './context.ts';

/** How a clean-up was asked for. */
export interface CleanupOptions {
  /** Lists exactly what would go, and removes nothing. */
  readonly dryRun: boolean;
  /** Doesn't ask. */
  readonly yes: boolean;
  /** Stops an old agent that leaks for the time of the clean-up. */
  readonly stopAgent: boolean;
}

/** What a person sees of a clean-up. */
export interface CleanupScreen {
  /** For everything that is said while a progress bar may stand there. */
  readonly log: Log;
  showPlan(survey: Survey, options: CleanupOptions): void;
  /** Asks whether to go on. @throws the signal's reason */
  confirm(count: number, signal: AbortSignal): Promise<boolean>;
  showProgress(progress: CleanupProgress): void;
  showReport(report: CleanupReport): void;
}

export function readCleanupOptions(args: readonly string[]): CleanupOptions {
  const has = (option: string): boolean => args.includes(option);
  return { dryRun: has('--dry-run'), yes: has('--yes'), stopAgent: has('--stop-agent') };
}

/**
 * `cleanup`: removes what older entrypoints leaked, and dead containers of ours. Works in its own container or beside
 * the agent; takes no lock, because what it removes is nobody's: a transaction never looks at it.
 * @returns 0 all gone or nothing to do, 69 the engine went away, 73 some could not be removed
 * @throws UsageError without a terminal to ask on and without `--yes`; InterruptedError after what is left was told
 */
export async function cleanUpHost(
  given: Context,
  options: CleanupOptions,
  screen: CleanupScreen,
): Promise<number> {
  const context = { ...given, log: screen.log };
  requireSoundConfiguration(context);
  requireConsent(context, options);
  const { configuration, names, clock, signal } = context;
  const limits = patient(configuration.limits);
  const calls = new AbortController();
  const endCalls = (): void => {
    calls.abort(signal.reason);
  };
  // Until the first removal a signal ends the call in hand.
  signal.addEventListener('abort', endCalls, { once: true });
  const engine = await openEngine(withLimits(context, limits), calls.signal, true);
  screen.log.info('listing the containers; an engine in trouble takes minutes for it');
  const survey = await surveyHost(engine, names, limits, clock);
  screen.showPlan(survey, options);
  const count = survey.suspects.length + survey.dead.length;
  if (options.dryRun) {
    signal.removeEventListener('abort', endCalls);
    return dryRun({ context, engine, survey, limits, calls, screen, options });
  }
  if (count > 0 && !options.yes && !(await screen.confirm(count, signal))) {
    screen.showReport(
      buildReport(survey, { ...nothing, left: count, end: 'declined' }, { dryRun: false, failures: [] }),
    );
    return ExitCode.ok;
  }
  signal.throwIfAborted();
  const room = await readRoomQuietly(context, engine, limits);
  signal.removeEventListener('abort', endCalls);
  const task: Task = { context, engine, survey, limits, calls, screen, options };
  const restarter = count > 0 && options.stopAgent ? await stopAgent(task) : undefined;
  try {
    const result = await removeAll(
      task,
      jobsOf(task, async (job) => removeIf(engine, job)),
      paceFor(task, room),
    );
    return await conclude(task, result, room, await restarter?.startAgain());
  } catch (error) {
    await restarter?.startAgain();
    throw error;
  }
}

interface Task {
  readonly context: Context;
  readonly engine: Engine;
  readonly survey: Survey;
  readonly limits: Limits;
  /** Ends the engine calls in hand. */
  readonly calls: AbortController;
  readonly screen: CleanupScreen;
  readonly options: CleanupOptions;
}

const nothing = { removed: 0, skipped: new Map<never, number>(), left: 0, ms: 0 };

function requireConsent({ keyboard }: Context, { yes, dryRun }: CleanupOptions): void {
  if (yes || dryRun || keyboard.interactive) return;
  throw new UsageError('cleanup removes containers, and there is no terminal to ask on', {
    hint: 'append --dry-run to see what would go, --yes to have it go, or start it with docker run -it',
  });
}

/** An engine in trouble is given more time here than anywhere else: nobody waits but the person who started this. */
function patient(limits: Limits): Limits {
  return {
    ...limits,
    LIST: limits.CLEANUP_LIST,
    INSPECT: limits.CLEANUP_CALL,
    ENGINE_CONNECT: limits.CLEANUP_CALL,
    REMOVE: limits.CLEANUP_REMOVE,
  };
}

function withLimits(context: Context, limits: Limits): Context {
  return { ...context, configuration: { ...context.configuration, limits } };
}

/** How much was free says how much came free; an engine that can't say it is no reason not to clean up. */
async function readRoomQuietly(
  { configuration, log, signal }: Context,
  engine: Engine,
  limits: Limits,
): Promise<Room | undefined> {
  try {
    return await readRoom(engine, configuration.paths, limits);
  } catch (error) {
    signal.throwIfAborted();
    log.debug('how much is free could not be found out', { error: messageOf(error) });
    return undefined;
  }
}

/** On a storage that is low one at a time: what fills up there fails in the middle. */
function paceFor({ limits, screen }: Task, room: Room | undefined): Pace {
  if (room?.verdict.kind !== 'low') return new Pace(limits);
  screen.log.warn(`the storage of this host is low: one at a time (${room.verdict.shortages.join('; ')})`);
  return new Pace(limits, 1);
}

async function removeAll(task: Task, jobs: readonly Job[], pace: Pace): Promise<CleanupResult> {
  const { context, engine, limits, calls, screen } = task;
  return cleanUp({
    jobs,
    limits,
    clock: context.clock,
    pace,
    signal: context.signal,
    abandon: (reason) => {
      calls.abort(reason);
    },
    probe: async () => engine.inspectContainer(context.names.worker),
    isWorkerRunning: async () => isWorkerRunning({ engine, names: context.names }),
    onProgress: (progress) => {
      screen.showProgress(progress);
    },
  });
}

/** Judges every one of them as the removal itself would. */
async function dryRun(task: Task): Promise<number> {
  const { context, survey, limits, screen } = task;
  const removable = new Set<string>();
  const jobs = jobsOf(task, async (job) => {
    const fate = await judgeOnly(job.judge);
    if (fate.kind === 'removed') removable.add(job.id);
    return fate;
  });
  const result = await removeAll(task, jobs, new Pace(limits));
  const containers = listRemovable(survey).filter(({ id }) => removable.has(id));
  const report = { ...result, removed: 0, left: 0 };
  screen.showReport(buildReport(survey, report, { dryRun: true, failures: [], containers }));
  context.signal.throwIfAborted();
  if (result.end === 'away') throw goneAway(result.left);
  return ExitCode.ok;
}

function jobsOf(
  { engine, survey, limits, context: { names, clock } }: Task,
  perform: (candidate: Candidate) => Promise<Fate>,
): readonly Job[] {
  const candidates = listCandidates({ engine, survey, limits, names, clock });
  return candidates.map((candidate) => ({
    id: candidate.id,
    remove: async () => perform(candidate),
  }));
}

async function conclude(
  task: Task,
  result: CleanupResult,
  before: Room | undefined,
  agentRunsAgain: boolean | undefined,
): Promise<number> {
  const { context, engine, survey, limits, screen } = task;
  const isAway = result.end === 'away';
  const after = isAway || context.signal.aborted ? undefined : await readRoomQuietly(context, engine, limits);
  const freed = freedBetween(before, after);
  const view = { ...context, engine, limits, paths: context.configuration.paths };
  const failures = await explainFailures(view, result.failures, !context.signal.aborted);
  screen.showReport(
    buildReport(survey, result, {
      dryRun: false,
      failures,
      ...(freed === undefined ? {} : { freedBytes: freed }),
      ...(agentRunsAgain === undefined ? {} : { agentRunsAgain }),
    }),
  );
  context.signal.throwIfAborted();
  if (isAway) throw goneAway(result.left);
  return failures.length > 0 || agentRunsAgain === false ? ExitCode.cannotChange : ExitCode.ok;
}

function freedBetween(before: Room | undefined, after: Room | undefined): number | undefined {
  if (before?.freeBytes === undefined || after?.freeBytes === undefined) return undefined;
  return Math.max(0, after.freeBytes - before.freeBytes);
}

function goneAway(left: number): EngineUnavailableError {
  return new EngineUnavailableError(`the engine does not answer any more; ${left} are left`, {
    hint: 'run cleanup again when docker ps answers: it goes on where this one ended',
  });
}

/** Stops the old agent, if there is one, and tells how to start it again. */
async function stopAgent(task: Task): Promise<{ startAgain: () => Promise<boolean> } | undefined> {
  const { context, engine, limits, screen } = task;
  const { names, configuration } = context;
  const agent = await findOldAgent(engine, names);
  if (agent === undefined) {
    screen.log.info('no agent of an older entrypoint runs here: there is none to stop');
    return undefined;
  }
  if (await isWorkerRunning({ engine, names })) {
    throw new TryAgainLaterError('a worker is at work on this host: the agent is not stopped now', {
      hint: `wait for it (docker logs -f ${names.worker}), or clean up without --stop-agent`,
    });
  }
  const cleanup = requireOwnContainer(await inspectOwnContainer(engine, configuration));
  // Its calls end by themselves: a signal must not keep the agent from being started again.
  const view: RestarterView = { ...context, engine: await openEngine(withLimits(context, limits)), limits };
  const environment = selectWorkerEnvironment(configuration.environment, 'reconcile');
  await stopWithRestarter(view, { agent, cleanup, environment });
  return { startAgain: async () => startAgain(view, agent.id) };
}

/** The agent restarter looks after our container: one that would live on without us, or end with the agent, is no use to it. */
function requireOwnContainer(own: ContainerDetails | undefined): ContainerDetails {
  if (own?.command.includes('cleanup') === true) return own;
  throw new UsageError('--stop-agent needs a container of its own, or nobody would start the agent again', {
    hint: 'docker run --rm -it -v /var/run/docker.sock:/var/run/docker.sock IMAGE cleanup --stop-agent',
  });
}
