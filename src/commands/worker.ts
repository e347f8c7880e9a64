import type { Outcome } from '../agent/report/outcome.ts';
import { registerAgent } from '../agent/worker/register.ts';
import { startHeartbeat } from '../agent/run/heartbeat.ts';
import { reconcileHost } from '../agent/worker/reconcile.ts';
import { upgradeAgent } from '../agent/worker/upgrade.ts';
import { doWork, type Turn, type Work, type WorkStart } from '../agent/worker/session.ts';
import { readAsker, workerTasks, workerVariables, type WorkerTask } from '../agent/worker/request.ts';
import { inspectOwnContainer } from '../agent/identity/self.ts';
import { workerNames } from '../agent/worker/follow-profile.ts';
import { requireTurn } from '../agent/worker/names/turn.ts';
import type { Engine } from '../engine/engine.ts';
import { diskHint } from '../host/errors.ts';
import { createKeptLog, workerLogOf } from '../host/files/kept-log.ts';
import { candidatesOf, readOwnTraces } from '../host/own-container.ts';
import { sweepLeaks } from '../cleanup/sweep.ts';
import { DeadlineError, withDeadline } from '../support/deadline.ts';
import {
  ConfigurationError,
  exitCodeOf,
  messageOf,
  TryAgainLaterError,
  UsageError,
} from '../support/errors.ts';
import { createLog, logToBoth, type Log } from '../support/log.ts';
import { openEngine, requireSoundConfiguration, withAgentConf, type Context } from './context.ts';
import { inspectHostHere } from './inspect-host.ts';

/**
 * `worker TASK`: what runs inside the worker's container. Not for people. The caller's side is `agent/worker/client.ts`.
 * @returns the exit status
 */
export async function worker(context: Context, args: readonly string[]): Promise<number> {
  requireSoundConfiguration(context);
  const { configuration, version } = context;
  const task = workerTasks.find((name) => name === args[0]);
  if (task === undefined) throw new UsageError(`worker: no such task: ${args[0] ?? '(none)'}`);
  if (task === 'inspect-host') return inspectHostHere(context);
  startHeartbeat(configuration.limits);
  const kept = keepLog(context);
  const target = configuration.environment[workerVariables.targetImage];
  kept.info(`the worker starts: ${task}`, { ...(target === undefined ? {} : { target }), version });
  try {
    const keeping = { ...context, log: logToBoth(context.log, kept) };
    const status = await bounded(keeping, async () =>
      work(task === 'register' ? await withAgentConf(keeping) : keeping, task),
    );
    kept.info(`the worker exits with status ${status}`);
    return status;
  } catch (error) {
    kept.error(`the worker exits: ${messageOf(error)}`, { status: exitCodeOf(error) });
    throw error;
  }
}

/** The worker's log on the host: its container is removed when it exits, and what that has logged with it. */
function keepLog({ configuration, secrets, log }: Context): Log {
  const { paths, limits, logFormat: format, debug } = configuration;
  const destination = createKeptLog({
    path: workerLogOf(paths),
    limits,
    onTrouble: (reason) => {
      log.info("the worker's log cannot be kept on this host", { error: reason });
    },
  });
  return createLog({ format, debug, secrets, destination, times: true });
}

/** Everything in it has its own deadline but calls to the host's files: a dead disk answers none of them. */
async function bounded({ configuration }: Context, work: () => Promise<number>): Promise<number> {
  try {
    return await withDeadline('do the work', configuration.limits.WORKER_LIFE, work);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new TryAgainLaterError(`the worker is hung: ${error.message}`, {
      hint: diskHint('the disk of /var/lib/rancher'),
      cause: error,
    });
  }
}

async function work(context: Context, task: Exclude<WorkerTask, 'inspect-host'>): Promise<number> {
  const { paths, hostname, environment } = context.configuration;
  const [container] = candidatesOf(await readOwnTraces(paths, hostname));
  const target = environment[workerVariables.targetImage];
  const start: WorkStart = {
    ...context,
    command: task,
    container,
    ...(task === 'reconcile' ? {} : { askedBy: readAsker(environment) }),
    ...(target === undefined ? {} : { target }),
  };
  // No signal for the engine's calls: the step in hand is finished, the transaction stops at a safe point.
  return doWork(
    start,
    async () => takeTurn(context),
    async (work) => {
      const outcome = await perform(work, task);
      if (task !== 'reconcile') await sweepBehind(work, outcome);
      return outcome;
    },
  );
}

/**
 * Opens the engine. It must be the one that runs this container: with another one, the work would be done on another host.
 * And no other worker may be at work.
 * @throws ConfigurationError, WorkerYieldsError
 */
async function takeTurn(context: Context): Promise<Turn & { readonly engine: Engine }> {
  const { configuration, names } = context;
  const engine = await openEngine(context);
  const own = await inspectOwnContainer(engine, configuration);
  if (own === undefined) {
    throw new ConfigurationError(
      'the engine behind the Docker socket does not know the container of this worker',
      {
        hint: 'give the command the socket of the engine that runs it: docker -H unix:///PATH run -v /PATH:/var/run/docker.sock …',
      },
    );
  }
  const workers = [...workerNames(names, configuration.environment), names.deadWorker];
  return { engine, own, container: own.id, otherWorkers: await requireTurn(engine, own, workers) };
}

async function perform(work: Work, task: Exclude<WorkerTask, 'inspect-host'>): Promise<Outcome> {
  switch (task) {
    case 'register':
      return registerAgent(
        work,
        variableOf(work, workerVariables.registrationUrl),
        variableOf(work, workerVariables.targetImage),
      );
    case 'upgrade':
      return upgradeAgent(work, variableOf(work, workerVariables.targetImage));
    case 'reconcile':
      return reconcileHost(work);
  }
}

/**
 * Sweeps what legacy entrypoints leaked, behind the work and under the same lock. Not before it: a removal on an overloaded host
 * takes up to a minute, and nothing may come between a host and its new agent. What was put off for now (storage is low)
 * is followed by a sweep as well, since leaked helpers are what fills it up; what failed is not: a host in trouble is
 * left in peace. `reconcile` needs none: the `run` that asked for it does its own sweep.
 */
async function sweepBehind(work: Work, outcome: Outcome): Promise<void> {
  if (outcome.state === 'failed') return;
  const { reporter } = work;
  await sweepLeaks({
    ...work,
    onFound: async () => reporter.working(`${outcome.summary}; sweeping leaked helpers`, 'sweep'),
  });
}

function variableOf({ configuration }: Work, variable: string): string {
  const value = configuration.environment[variable];
  if (value !== undefined && value !== '') return value;
  throw new ConfigurationError(`${variable} is not set`, {
    hint: 'do not start a worker yourself: upgrade, register and run create one',
  });
}
