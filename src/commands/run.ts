import { askRequiredImage, keepBootstrapRunning } from '../agent/bootstrap-loop.ts';
import { keepHouse, settleLeftovers } from '../agent/leftovers.ts';
import { awaitOffice } from '../agent/office.ts';
import { inspectOwnContainer, ownImageOf, workerImageOf } from '../agent/own.ts';
import { judgeError } from '../agent/outcome.ts';
import { createReporter, type Reporter } from '../agent/report.ts';
import { requirePoolRoom } from '../agent/storage-guard.ts';
import { decideUpgrade } from '../agent/upgrade-decision.ts';
import { Upgrader } from '../agent/upgrader.ts';
import { isWorkerRunning } from '../agent/worker.ts';
import { workerVariables } from '../agent/worker-request.ts';
import type { ContainerDetails, Engine } from '../engine/engine.ts';
import { StorageLowError } from '../host/errors.ts';
import { prepareHost } from '../host/preparation.ts';
import { runCommand } from '../host/processes.ts';
import { keepMetrics } from '../rescue/keep-metrics.ts';
import { sweepLeaks } from '../rescue/sweep.ts';
import { CannotChangeError, messageOf } from '../support/errors.ts';
import {
  delegate,
  followWorker,
  openEngine,
  requireSoundConfiguration,
  withAgentConf,
  type Context,
} from './context.ts';

/**
 * `run`: what the agent's container runs (contract §2 and §5): wait for the office, prepare the host, settle what was
 * left over, keep the server's bootstrap running. Never ends by itself.
 */
export async function run(given: Context): Promise<never> {
  requireSoundConfiguration(given);
  const context = await withAgentConf(given);
  const { configuration, log, clock, signal, names } = context;
  const { paths, limits } = configuration;
  const engine = await openEngine(context, signal);
  const own = await inspectOwnContainer(engine, configuration);
  const image = ownImageOf(own, configuration);
  const settle = async (): Promise<void> => {
    await delegate(context, engine, 'settle', await workerImageOf(engine, own, image));
  };
  if (own !== undefined) await awaitOffice({ engine, names, limits, clock, log, signal, own, settle });
  await prepareHost({ paths, limits, log, run: runCommand, signal });
  const follow = async (): Promise<boolean> => followWorker(context, engine);
  const leftovers = { engine, names, limits, clock, log, paths, signal, settle, followWorker: follow };
  inBackground(context, 'settling what was left over', async () => {
    await settleLeftovers(leftovers);
    await sweepBeside(context, engine);
  });
  inBackground(context, 'keeping house', async () => keepHouse(leftovers));
  inBackground(context, 'keeping the metrics', async () => keepMetrics({ ...context, engine }));
  const upgrader = createUpgrader(context, engine, own, image);
  return keepBootstrapRunning({
    ...context,
    reporter: createReporter(context),
    onRequiredImage: (required) => upgrader.require(required),
  });
}

/**
 * Sweeps what older entrypoints leaked, beside the bootstrap. One sweeper at a time, and no transaction waits for it: as
 * soon as a worker is at work, which will sweep for itself, this one ends.
 */
async function sweepBeside(context: Context, engine: Engine): Promise<void> {
  const { names, configuration } = context;
  const mayGoOn = async (): Promise<boolean> => !(await isWorkerRunning({ engine, names }));
  await sweepLeaks({ ...context, engine, limits: configuration.limits, mayGoOn });
}

/** Has the agent replaced when the server requires another image. */
function createUpgrader(
  context: Context,
  engine: Engine,
  own: ContainerDetails | undefined,
  image: string,
): Upgrader {
  const { configuration } = context;
  const reporter = createReporter(context);
  const running = { image, imageId: own?.imageId };
  return new Upgrader({
    ...context,
    limits: configuration.limits,
    decide: async (required) => decideUpgrade({ ...context, engine, reporter }, required, running),
    upgrade: async (wanted) => {
      try {
        await requirePoolRoom(engine, own, configuration.limits);
        const workerImage = await workerImageOf(engine, own, image);
        return await delegate(context, engine, 'upgrade', workerImage, {
          [workerVariables.targetImage]: wanted,
        });
      } catch (error) {
        await tellWithoutWorker(reporter, error, image);
        throw error;
      }
    },
    ask: async () => askRequiredImage(context),
  });
}

/** A worker tells its own end. Where none could be made nobody else does. */
async function tellWithoutWorker(reporter: Reporter, error: unknown, image: string): Promise<void> {
  if (!(error instanceof StorageLowError || error instanceof CannotChangeError)) return;
  const outcome = judgeError(error);
  await reporter.ended({ ...outcome, summary: `${outcome.summary}; the agent (${image}) runs on` });
}

/** Work that the agent doesn't wait for. Its failure is told and waits for the next start or the next bootstrap. */
function inBackground(context: Context, what: string, work: () => Promise<void>): void {
  work().catch((error: unknown) => {
    if (context.signal.aborted) return;
    context.log.error(`${what} did not succeed; the agent runs on`, { error: messageOf(error) });
  });
}
