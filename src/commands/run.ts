import { removeStagedScripts } from '../agent/run/bootstrap/child.ts';
import { askRequiredImage, keepBootstrapRunning } from '../agent/run/bootstrap/bootstrap-loop.ts';
import { watchForErrors } from '../agent/report/events.ts';
import { workerNames } from '../agent/worker/family.ts';
import { keepHouse, reconcileLeftovers } from '../agent/run/housekeeping.ts';
import { waitForPromotion, isActiveName } from '../agent/run/standby.ts';
import { inspectOwnContainer, ownImageOf, workerImageOf } from '../agent/identity/self.ts';
import { hostOf } from '../agent/host.ts';
import { judgeError } from '../agent/report/outcome.ts';
import { createReporter, type Reporter } from '../agent/report/reporter.ts';
import { isAgentContainer, type RoleNames } from '../agent/identity/roles.ts';
import type { StagedBefore } from '../agent/run/bootstrap/loop.ts';
import { keepProvingReadiness } from '../agent/run/readiness/ready-loop.ts';
import { startHeartbeat } from '../agent/run/heartbeat.ts';
import { stopObserving, trackServing, watchForCures } from '../agent/run/self-observation.ts';
import type { ServingTracker } from '../agent/run/serving/tracker.ts';
import { chooseStandbyTask } from '../agent/run/standby-task.ts';
import { prepareTrust } from '../control-plane/open-connection.ts';
import { requirePoolRoom } from '../agent/worker/storage-guard.ts';
import { decideUpgrade, readRequirement } from '../agent/run/upgrade-decision.ts';
import { Upgrader } from '../agent/run/upgrader.ts';
import { isWorkerRunning } from '../agent/worker/client.ts';
import { workerVariables } from '../agent/worker/request.ts';
import { shortId } from '../engine/containers.ts';
import type { ContainerDetails, Engine } from '../engine/engine.ts';
import { releaseClonedMounts } from '../host/mounts/cloned.ts';
import { StorageLowError } from '../host/errors.ts';
import { tryOrWarn, type HostCommands } from '../host/mounts/namespace.ts';
import { prepareAsActive, prepareOnStandby, type MountsLock } from '../host/preparation.ts';
import { runCommand } from '../host/processes.ts';
import { keepMetrics } from '../cleanup/keep-metrics.ts';
import { sweepLeaks } from '../cleanup/sweep.ts';
import { reportsErrors } from '../support/configuration.ts';
import { CannotChangeError, messageOf } from '../support/errors.ts';
import {
  adoptNames,
  delegate,
  followWorker,
  openEngine,
  requireSoundConfiguration,
  withAgentConf,
  type Context,
} from './context.ts';

/**
 * `run`: what the agent's container runs (contract §2 and §5): prove its readiness on standby, prepare the host, settle what was
 * left over, keep the server's bootstrap running. Never ends by itself.
 */
export async function run(given: Context): Promise<never> {
  requireSoundConfiguration(given);
  const heartbeat = startHeartbeat(given.configuration.limits);
  const configured = await withAgentConf(given);
  const engine = await openEngine(configured, given.signal);
  const own = await inspectOwnContainer(engine, configured.configuration);
  const context = adoptNames(configured, own);
  const { configuration, log, clock, signal, names } = context;
  const { paths, limits, environment } = configuration;
  const image = ownImageOf(own, configuration);
  const reconcile = async (until: AbortSignal): Promise<void> => {
    const workerImage = await workerImageOf(engine, own, image);
    await delegate({ ...context, signal: until }, engine, 'reconcile', workerImage);
  };
  const host = { paths, limits, log, run: runCommand, signal };
  await tryOrWarn(host, 'removing the scripts of an earlier run', async () => removeStagedScripts('/tmp'));
  // Harms no active agent, and nobody waits for it between that one's end and our own turn.
  const preparing = Promise.all([
    prepareOnStandby(host, mountsLockOf(context, engine, own)),
    prepareTrust(context, 'container'),
  ]);
  preparing.catch(() => undefined);
  const goOn = async (until: AbortSignal, standby: ContainerDetails): Promise<void> => {
    const task = await chooseStandbyTask({ ...context, signal: until, engine, own: standby, image });
    if (task === 'reconcile') return reconcile(until);
    const workerImage = await workerImageOf(engine, own, image);
    await delegate({ ...context, signal: until }, engine, 'upgrade', workerImage, {
      [workerVariables.targetImage]: image,
      [workerVariables.askedBy]: 'server',
    });
  };
  const staged =
    own === undefined ? undefined : await standBy(context, engine, own, async (until) => goOn(until, own));
  if (names.state !== undefined) await releaseOldAgents({ engine, names }, host);
  const prepared = Promise.all([preparing, prepareAsActive(host), prepareTrust(context, 'host')]);
  // A disk that does not answer keeps no promoted agent from its first script.
  await Promise.race([prepared, clock.sleep(limits.ACTIVE_PATIENCE, signal)]);
  const follow = async (): Promise<boolean> => followWorker(context, engine);
  const workers = workerNames(names, environment);
  const leftovers = {
    engine,
    names,
    workers,
    limits,
    clock,
    log,
    paths,
    signal,
    reconcile: async () => reconcile(signal),
    followWorker: follow,
  };
  const reconciling = inBackground(context, 'settling what was left over', async () => {
    await reconcileLeftovers(leftovers);
    await sweepBeside(context, engine);
  });
  void inBackground(context, 'keeping house', async () => keepHouse(leftovers));
  void inBackground(context, 'keeping the metrics', async () => keepMetrics({ ...context, engine }));
  if (reportsErrors(environment)) {
    void inBackground(context, 'reporting errors to the server', async () => watchForErrors(context));
  }
  const tracker = trackServing(hostOf(context, engine), own);
  const reporter = createReporter({ ...context, serving: () => tracker.summary() });
  void inBackground(context, 'keeping the record of serving', async () => tracker.keep(reporter, signal));
  void inBackground(context, 'looking for what a restart cures', async () =>
    watchForCures(hostOf(context, engine), { tracker, heartbeat }),
  );
  const upgrader = createUpgrader(context, { engine, own, image, reporter, tracker });
  return keepBootstrapRunning({
    ...context,
    ...(staged === undefined ? {} : { staged }),
    reporter,
    serving: tracker,
    onRequiredImage: (_required, script) => {
      upgrader.require(readRequirement(script, image));
    },
    concludeWork: async () => {
      const done = Promise.all([reconciling, upgrader.idle(), stopObserving(tracker, heartbeat, reporter)]);
      await Promise.race([done, clock.sleep(limits.EXEC_PATIENCE, signal)]);
    },
  });
}

/**
 * Waits for the promotion, and proves meanwhile that this agent can work. An active agent that starts again proves nothing.
 * @returns the script that is staged, for the first run
 */
async function standBy(
  context: Context,
  engine: Engine,
  own: ContainerDetails,
  reconcile: (signal: AbortSignal) => Promise<void>,
): Promise<StagedBefore | undefined> {
  const { configuration, names, clock, log, signal } = context;
  if (isActiveName(own.name, names)) return undefined;
  const readiness = keepProvingReadiness({ ...context, own });
  try {
    await waitForPromotion({
      engine,
      names,
      limits: configuration.limits,
      clock,
      log,
      signal,
      own,
      reconcile,
    });
  } catch (error) {
    await readiness.handOver()?.script.dispose();
    throw error;
  }
  return readiness.handOver();
}

/** Two agents that the engine starts at boot prepare the same mounts. */
function mountsLockOf(context: Context, engine: Engine, own: ContainerDetails | undefined): MountsLock {
  return {
    container: own === undefined ? undefined : shortId(own.id),
    clock: context.clock,
    hasEnded: async (container) => {
      const found = await engine.inspectContainer(container).catch(() => 'unknown' as const);
      return found === undefined || (found !== 'unknown' && found.state !== 'running');
    },
  };
}

/**
 * An agent of v1.0.x has the Docker root bound, and so copies of the mounts of the agent that ran when it was created:
 * they would keep that one from being removed.
 */
async function releaseOldAgents(
  { engine, names }: { readonly engine: Engine; readonly names: RoleNames },
  host: HostCommands,
): Promise<void> {
  await tryOrWarn(host, "letting go of the old agent's mounts", async () => {
    for (const name of names.previous) {
      const old = await engine.inspectContainer(name);
      if (old === undefined || !isAgentContainer(old)) continue;
      const count = await releaseClonedMounts(host, [old.id, ...(old.layers ?? [])]);
      if (count > 0) host.log.debug(`let go of ${count} mounts of ${name}`);
    }
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
  parts: {
    readonly engine: Engine;
    readonly own: ContainerDetails | undefined;
    readonly image: string;
    readonly reporter: Reporter;
    readonly tracker: ServingTracker;
  },
): Upgrader {
  const { configuration } = context;
  const { engine, own, image, reporter, tracker } = parts;
  const running = { image, imageId: own?.imageId };
  return new Upgrader({
    ...context,
    limits: configuration.limits,
    decide: async (required) =>
      decideUpgrade({ ...hostOf(context, engine), reporter, serving: tracker }, required, running),
    upgrade: async (wanted) => {
      try {
        await requirePoolRoom(engine, own, configuration.limits);
        const workerImage = await workerImageOf(engine, own, image);
        return await delegate(context, engine, 'upgrade', workerImage, {
          [workerVariables.targetImage]: wanted,
          [workerVariables.askedBy]: 'server',
        });
      } catch (error) {
        await tellWithoutWorker(reporter, error, image);
        throw error;
      }
    },
    ask: async () => askRequiredImage(context, image),
  });
}

/** A worker tells its own end. Where none could be made nobody else does. */
async function tellWithoutWorker(reporter: Reporter, error: unknown, image: string): Promise<void> {
  if (!(error instanceof StorageLowError || error instanceof CannotChangeError)) return;
  const outcome = judgeError(error);
  await reporter.ended({ ...outcome, summary: `${outcome.summary}; the agent (${image}) runs on` });
}

/**
 * Work that the agent doesn't wait for. Its failure is told and waits for the next start or the next bootstrap.
 * @returns a promise that is fulfilled in any case
 */
async function inBackground(context: Context, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (context.signal.aborted) return;
    context.log.error(`${what} did not succeed; the agent runs on`, { error: messageOf(error) });
  }
}
