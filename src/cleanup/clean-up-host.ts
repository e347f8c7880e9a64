import { selectWorkerEnvironment } from '../agent/worker/request.ts';
import { isWorkerRunning } from '../agent/worker/client.ts';
import { hostSocketOf } from '../agent/identity/host-socket.ts';
import { inspectOwnContainer } from '../agent/identity/self.ts';
import type { ConfiguredHost } from '../agent/host.ts';
import type { ContainerDetails, Engine } from '../engine/engine.ts';
import { StorageLowError } from '../host/errors.ts';
import {
  EngineUnavailableError,
  ExitCode,
  messageOf,
  TryAgainLaterError,
  UsageError,
} from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { Log } from '../support/log.ts';
import type { Keyboard } from '../support/terminal.ts';
import { findOldAgent, startAgain, stopWithRestarter, type RestarterView } from './agent-restarter.ts';
import { Concurrency } from './concurrency.ts';
import { freedBetween, readFreeSpace, type FreeSpace } from './free-space.ts';
import { removeMany } from './remove-many.ts';
import { cleanupRules, type RemovalProgress, type RemovalSummary } from './removal.ts';
import { createDryRun, createRemover, type Remove } from './remove.ts';
import { buildReport, describeSuspects, findHolders, type CleanupReport } from './report.ts';
import { scanHost, type Scan } from './scan.ts';

/** How a person has asked for a cleanup. */
export interface CleanupOptions {
  /** Lists exactly what a cleanup would remove, and removes nothing. */
  readonly dryRun: boolean;
  /** Does not ask. */
  readonly yes: boolean;
  /** Stops a legacy agent that leaks for the time of the cleanup. */
  readonly stopAgent: boolean;
}

/** What a person sees of a cleanup. */
export interface CleanupScreen {
  /** For every message while a progress bar may be shown. */
  readonly log: Log;
  showPlan(scan: Scan, options: CleanupOptions): void;
  /** Asks whether to go on. @throws the signal's reason */
  confirm(count: number, signal: AbortSignal): Promise<boolean>;
  showProgress(progress: RemovalProgress): void;
  showReport(report: CleanupReport): void;
}

/** What a cleanup needs of the command that runs it. */
export interface CleanupHost extends Pick<
  ConfiguredHost,
  'configuration' | 'profile' | 'names' | 'clock' | 'signal'
> {
  readonly keyboard: Pick<Keyboard, 'interactive'>;
  /** Connects to the engine. @param signal stops the calls in progress; without it they stop at their own deadlines */
  readonly openEngine: (limits: Limits, signal?: AbortSignal) => Promise<Engine>;
}

/**
 * Removes what the legacy entrypoint leaked, and dead managed containers. Works in its own container or beside the agent.
 * Takes no lock, because nothing uses what it removes: transactions ignore it.
 * @returns 0 all removed or nothing to do, 73 some could not be removed
 * @throws UsageError without a terminal to ask on and without `--yes`; StorageLowError if the storage cannot take a change;
 * EngineUnavailableError if the engine stopped answering; InterruptedError after the report of what is left
 */
export async function cleanUpHost(
  host: CleanupHost,
  options: CleanupOptions,
  screen: CleanupScreen,
): Promise<number> {
  requireConsent(host, options);
  const { names, clock, signal } = host;
  const limits = patientLimits(host.configuration.limits);
  const calls = new AbortController();
  const endCalls = (): void => {
    calls.abort(signal.reason);
  };
  // Until the first removal, a signal stops the call in progress.
  signal.addEventListener('abort', endCalls, { once: true });
  try {
    const engine = await host.openEngine(limits, calls.signal);
    screen.log.info('listing the containers; an overloaded engine takes minutes for that');
    const scan = await scanHost(engine, names, limits, clock);
    screen.showPlan(scan, options);
    const task: Task = { host, engine, scan, limits, calls, screen };
    if (options.dryRun) {
      signal.removeEventListener('abort', endCalls);
      return await dryRun(task);
    }
    const count = scan.suspects.length;
    if (count > 0 && !options.yes && !(await screen.confirm(count, signal))) {
      screen.showReport(buildReport(scan, undefined, { dryRun: false, end: 'declined' }));
      return ExitCode.ok;
    }
    signal.throwIfAborted();
    const before = await tryFreeSpace(task);
    if (count > 0) requireWritable(before);
    signal.removeEventListener('abort', endCalls);
    return await cleanUp(task, before, options.stopAgent && count > 0);
  } finally {
    signal.removeEventListener('abort', endCalls);
  }
}

interface Task {
  readonly host: CleanupHost;
  readonly engine: Engine;
  readonly scan: Scan;
  readonly limits: Limits;
  /** Stops the engine calls in progress. */
  readonly calls: AbortController;
  readonly screen: CleanupScreen;
}

function requireConsent({ keyboard }: CleanupHost, { yes, dryRun }: CleanupOptions): void {
  if (yes || dryRun || keyboard.interactive) return;
  throw new UsageError('cleanup removes containers, and there is no terminal to ask on', {
    hint: 'append --dry-run to list them, append --yes to remove them, or start it on a terminal: docker run --rm -it --privileged … IMAGE cleanup',
  });
}

/** An overloaded engine gets more time here than anywhere else: only the person who started the cleanup waits. */
function patientLimits(limits: Limits): Limits {
  return {
    ...limits,
    LIST: limits.CLEANUP_LIST,
    INFO: limits.CLEANUP_LIST,
    INSPECT: limits.CLEANUP_CALL,
    ENGINE_CONNECT: limits.CLEANUP_CALL,
    REMOVE: limits.CLEANUP_REMOVE,
  };
}

async function cleanUp(task: Task, before: FreeSpace | undefined, stopsAgent: boolean): Promise<number> {
  const { host, engine, limits, screen } = task;
  const restarter = stopsAgent ? await stopAgent(task) : undefined;
  let result: RemovalSummary;
  try {
    const remove = createRemover({ ...host, engine, limits });
    result = await removeAll(task, remove, concurrencyFor(screen, limits, before));
    if (result.error !== undefined) throw result.error;
  } catch (error) {
    await restarter?.startAgain();
    throw error;
  }
  return conclude(task, result, before, await restarter?.startAgain());
}

/** On a full pool each removal fails halfway (invariant 10). @throws StorageLowError */
function requireWritable(space: FreeSpace | undefined): void {
  if (space?.verdict.kind !== 'low' || !space.verdict.isReadOnly) return;
  throw new StorageLowError(`nothing was removed: ${space.verdict.shortages.join('; ')}`, {
    hint: space.verdict.advice,
  });
}

/** One at a time on a storage that is low: a removal that fills it up fails in the middle. */
function concurrencyFor(screen: CleanupScreen, limits: Limits, space: FreeSpace | undefined): Concurrency {
  if (space?.verdict.kind !== 'low') return new Concurrency(limits);
  const shortages = space.verdict.shortages.join('; ');
  screen.log.warn(`the storage of this host is low: removing one container at a time (${shortages})`);
  return new Concurrency(limits, 1);
}

async function removeAll(task: Task, remove: Remove, concurrency: Concurrency): Promise<RemovalSummary> {
  const { host, engine, scan, limits, calls, screen } = task;
  const { names, clock, signal } = host;
  return removeMany({
    suspects: scan.suspects,
    remove,
    rules: cleanupRules(limits),
    limits,
    clock,
    concurrency,
    signal,
    patience: {
      probe: async () => engine.inspectContainer(names.worker),
      isWorkerRunning: async () => isWorkerRunning({ engine, names }),
      hasRoom: async () => hasRoom(task),
      abandon: (reason) => {
        calls.abort(reason);
      },
    },
    onProgress: (progress) => {
      screen.showProgress(progress);
    },
  });
}

/** Whether a storage that was low has room again. Tells so. */
async function hasRoom({ host, engine, limits, screen }: Task): Promise<boolean> {
  const { verdict } = await readFreeSpace(engine, host.configuration.paths, limits);
  if (verdict.kind === 'low') return false;
  screen.log.info('the storage has room again: removing several containers at a time');
  return true;
}

/** Classifies every one of them as the removal itself would. */
async function dryRun(task: Task): Promise<number> {
  const { host, engine, scan, limits, screen } = task;
  const inspect = createDryRun({ ...host, engine, limits });
  const result = await removeAll(task, inspect, new Concurrency(limits));
  if (result.error !== undefined) throw result.error;
  const wouldRemove = new Set(result.wouldRemove);
  const containers = describeSuspects(scan.suspects.filter((suspect) => wouldRemove.has(suspect)));
  screen.showReport(buildReport(scan, result, { dryRun: true, end: result.end, containers }));
  host.signal.throwIfAborted();
  if (result.end === 'away') throw goneAway(result.left);
  return ExitCode.ok;
}

async function conclude(
  task: Task,
  result: RemovalSummary,
  before: FreeSpace | undefined,
  agentRunsAgain: boolean | undefined,
): Promise<number> {
  const { host, engine, scan, limits, screen } = task;
  const { signal } = host;
  const isAway = result.end === 'away';
  const freed = isAway || signal.aborted ? {} : freedBetween(before, await tryFreeSpace(task));
  const view = { ...host, engine, limits, log: screen.log, paths: host.configuration.paths };
  // After a signal there is no time to search for holders.
  const failures = signal.aborted ? result.failures : await findHolders(view, result.failures);
  screen.showReport(
    buildReport(scan, result, {
      dryRun: false,
      end: result.end,
      failures,
      ...freed,
      ...(agentRunsAgain === undefined ? {} : { agentRunsAgain }),
    }),
  );
  signal.throwIfAborted();
  if (isAway) throw goneAway(result.left);
  if (result.end === 'storage') throw storageSick(result, await tryFreeSpace(task));
  return failures.length > 0 || agentRunsAgain === false ? ExitCode.cannotChange : ExitCode.ok;
}

/** The free space before and after shows how much a cleanup has freed. The cleanup also runs without it. */
async function tryFreeSpace({ host, engine, limits, screen }: Task): Promise<FreeSpace | undefined> {
  try {
    return await readFreeSpace(engine, host.configuration.paths, limits);
  } catch (error) {
    host.signal.throwIfAborted();
    screen.log.debug('the free space is unknown', { error: messageOf(error) });
    return undefined;
  }
}

/** The first failure that only the storage explains has ended the run. */
function storageSick(
  { left, lastFailure = '' }: RemovalSummary,
  space: FreeSpace | undefined,
): StorageLowError {
  const hint = space?.verdict.kind === 'low' ? space.verdict.advice : 'see the runbook, "the storage is low"';
  return new StorageLowError(`the storage cannot take a change; ${left} containers are left`, {
    originalMessage: lastFailure,
    hint,
  });
}

function goneAway(left: number): EngineUnavailableError {
  return new EngineUnavailableError(`the engine does not answer any more; ${left} containers are left`, {
    hint: 'run cleanup again when docker ps answers: it removes the rest',
  });
}

/** Stops the legacy agent, if there is one. @returns how to start it again */
async function stopAgent(task: Task): Promise<{ startAgain: () => Promise<boolean> } | undefined> {
  const { host, engine, limits, screen } = task;
  const { names, configuration } = host;
  const agent = await findOldAgent(engine, names);
  if (agent === undefined) {
    screen.log.info('no agent with the legacy entrypoint runs here: there is none to stop');
    return undefined;
  }
  if (await isWorkerRunning({ engine, names })) {
    throw new TryAgainLaterError('a worker runs on this host: the agent is not stopped now', {
      hint: `wait for it (docker logs -f ${names.worker}), or run cleanup without --stop-agent`,
    });
  }
  const cleanup = requireOwnContainer(await inspectOwnContainer(engine, configuration));
  // Its calls stop only at their own deadlines, because the agent must be started again even after a signal.
  const view: RestarterView = { ...host, log: screen.log, engine: await host.openEngine(limits), limits };
  const environment = selectWorkerEnvironment(configuration.environment, 'reconcile');
  const { profile } = host;
  const hostSocket = await hostSocketOf(
    profile,
    configuration.environment,
    cleanup,
    configuration.socketPath,
  );
  await stopWithRestarter(view, { agent, cleanup, environment, hostSocket });
  return { startAgain: async () => startAgain(view, agent.id) };
}

/** The agent restarter watches our container. So that container must exit with this process, and must not be the agent's. */
function requireOwnContainer(own: ContainerDetails | undefined): ContainerDetails {
  if (own?.command.includes('cleanup') === true) return own;
  throw new UsageError(
    '--stop-agent needs a container of its own: without one, nothing would start the agent again',
    {
      hint: 'docker run --rm -it --privileged -v /var/run/docker.sock:/var/run/docker.sock -v /var/lib/rancher:/var/lib/rancher IMAGE cleanup --stop-agent',
    },
  );
}
