import { waitUntilAlone } from './alone.ts';
import { keepBootstrapRunning } from './bootstrap/bootstrap-loop.ts';
import { removeStagedScripts } from './bootstrap/child.ts';
import type { StagedBefore } from './bootstrap/loop-parts.ts';
import type { Heartbeat } from './heartbeat.ts';
import { keepHouse, reconcileLeftovers } from './housekeeping.ts';
import { keepProvingReadiness } from './readiness/ready-loop.ts';
import { stopObserving, trackServing, watchForCures } from './self-observation.ts';
import { watchPool } from './pool-watch.ts';
import { isActiveName, waitForPromotion } from './standby.ts';
import { chooseStandbyTask } from './standby-task.ts';
import { requirementOf } from './upgrade-decision.ts';
import { createUpgrader } from './upgrader.ts';
import { prepareTrust } from '../../control-plane/open-connection.ts';
import { shortId } from '../../engine/containers.ts';
import type { ContainerDetails, Engine } from '../../engine/engine.ts';
import { releaseClonedMounts } from '../../host/mounts/cloned.ts';
import { tryOrWarn, type HostCommands } from '../../host/mounts/namespace.ts';
import { prepareAsActive, prepareOnStandby, type MountsLock } from '../../host/preparation.ts';
import { runCommand } from '../../host/processes.ts';
import type { Clock } from '../../support/clock.ts';
import { reportsErrors } from '../../support/configuration.ts';
import { messageOf, SocketDeadError } from '../../support/errors.ts';
import type { ConfiguredHost } from '../host.ts';
import { keepMachineOrWarn } from '../identity/copied-machine.ts';
import { ownImageOf, workerImageOf } from '../identity/self.ts';
import { findOtherServer } from '../origin/of-run.ts';
import { isManaged } from '../identity/managed.ts';
import { watchForErrors } from '../report/events.ts';
import { createReporter } from '../report/reporter.ts';
import { delegate, followWorker, type Caller } from '../worker/delegate.ts';
import { workerNames } from '../worker/follow-profile.ts';
import { workerVariables } from '../worker/request.ts';
import { requireWritablePool } from '../worker/storage-guard.ts';

/** What the agent's container runs with. */
export interface AgentRun extends ConfiguredHost {
  readonly write: Caller['write'];
  readonly command: string;
  readonly version: string;
  /** Our own container; undefined outside of one. */
  readonly own: ContainerDetails | undefined;
  readonly heartbeat: Heartbeat;
  /** Removes what legacy entrypoints leaked, as long as no worker runs. */
  readonly sweep: () => Promise<void>;
  /** Keeps the metrics of this host, until the signal is aborted. */
  readonly keepMetrics: () => Promise<void>;
}

/**
 * What the agent's container runs (contract §2 and §5): prove the readiness on standby, prepare the host, reconcile what is
 * left over, keep the server's bootstrap running. Never returns.
 */
export async function runAgent(run: AgentRun): Promise<never> {
  const { engine, own, clock, limits, signal, names } = run;
  const image = ownImageOf(own, run.configuration);
  const commands = { paths: run.paths, limits, log: run.log, run: runCommand, signal };
  await tryOrWarn(commands, 'removing the scripts of an earlier run', async () =>
    removeStagedScripts('/tmp'),
  );
  // Harms no active agent, and nobody waits for it between that one's end and our own turn.
  const preparing = Promise.all([
    prepareOnStandby(commands, mountsLockOf(engine, clock, own)),
    prepareTrust(run, 'container'),
  ]);
  preparing.catch(() => undefined);
  if (own === undefined) await waitUntilAlone(run);
  const staged = own === undefined ? undefined : await standBy(run, own, image);
  if (names.states.length > 0) await releaseOldAgents(run, commands);
  const prepared = Promise.all([preparing, prepareAsActive(commands), prepareTrust(run, 'host')]);
  // A disk that does not answer keeps no promoted agent from its first script.
  await Promise.race([prepared, clock.sleep(limits.ACTIVE_PATIENCE, signal)]);
  return serve(run, image, staged);
}

/** The active agent: the bootstrap, and beside it everything that it does not wait for. */
async function serve(given: AgentRun, image: string, staged: StagedBefore | undefined): Promise<never> {
  const restarting = new AbortController();
  const run = { ...given, signal: AbortSignal.any([given.signal, restarting.signal]) };
  const { own, heartbeat, clock, limits, signal } = run;
  const reconciling = startHousekeeping(run, image);
  void inBackground(run, 'keeping the metrics', async () => run.keepMetrics());
  if (reportsErrors(run.configuration.environment)) {
    void inBackground(run, 'reporting errors to the server', async () => watchForErrors(run));
  }
  const tracker = trackServing(run, own);
  const reporter = createReporter({ ...run, serving: () => tracker.summary() });
  void inBackground(run, 'keeping the record of serving', async () => tracker.keep(reporter, signal));
  void inBackground(run, 'looking for what a restart cures', async () =>
    watchForCures(run, { tracker, heartbeat, restart: restartOf(own, restarting) }),
  );
  void keepMachineOrWarn(run, limits.KEPT_SERVER);
  void inBackground(run, 'watching the pool', async () => watchPool({ ...run, reporter }));
  const upgrader = createUpgrader(run, { own, image, reporter, serving: tracker });
  return keepBootstrapRunning({
    ...run,
    ...(staged === undefined ? {} : { staged }),
    reporter,
    serving: tracker,
    findOtherServer: async (cattleUrl) => findOtherServer(run, cattleUrl),
    onBootstrap: (bootstrap) => {
      upgrader.require(requirementOf(bootstrap, image));
    },
    concludeWork: async () => {
      const done = Promise.all([reconciling, upgrader.idle(), stopObserving(tracker, heartbeat, reporter)]);
      await Promise.race([done, clock.sleep(limits.EXEC_PATIENCE, signal)]);
    },
  });
}

/** How an agent gets a new socket: it exits, and its engine starts the container again, if its restart policy says so. */
function restartOf(own: ContainerDetails | undefined, restarting: AbortController): (() => void) | undefined {
  if (own === undefined || !['always', 'unless-stopped'].includes(own.restartPolicy)) return undefined;
  return () => {
    restarting.abort(
      new SocketDeadError(
        "the engine's socket in this container is dead: restarting, to get the host's one",
        {
          hint: 'nothing: the engine starts this container again; your containers keep running',
        },
      ),
    );
  };
}

/**
 * Waits for the promotion, and proves meanwhile that this agent can work. An active agent that starts again proves nothing.
 * @returns the script that is staged, for the first run
 */
async function standBy(
  run: AgentRun,
  own: ContainerDetails,
  image: string,
): Promise<StagedBefore | undefined> {
  if (isActiveName(own.name, run.names)) return undefined;
  const readiness = keepProvingReadiness({ ...run, own });
  try {
    await waitForPromotion({
      ...run,
      own,
      reconcile: async (signal) => finishUpgrade({ ...run, signal }, own, image),
    });
  } catch (error) {
    await readiness.handOver()?.script.dispose();
    throw error;
  }
  return readiness.handOver();
}

/** On standby, and no worker runs: has one finish what was interrupted. */
async function finishUpgrade(run: AgentRun, own: ContainerDetails, image: string): Promise<void> {
  const task = await chooseStandbyTask({ ...run, own, image });
  if (task === 'reconcile') return reconcile(run, image);
  await delegate(run, {
    task,
    workerImage: await workerImageOf(run.engine, own, image),
    own,
    targetImage: image,
    about: { [workerVariables.askedBy]: 'server' },
  });
}

async function reconcile(run: AgentRun, image: string): Promise<void> {
  const workerImage = await workerImageOf(run.engine, run.own, image);
  await delegate(run, { task: 'reconcile', workerImage, own: run.own });
}

/**
 * Reconciles what is left over, sweeps what legacy entrypoints leaked, and looks again now and then.
 * @returns a promise that is fulfilled when the first two are done
 */
async function startHousekeeping(run: AgentRun, image: string): Promise<void> {
  const { names, configuration } = run;
  const leftovers = {
    ...run,
    workers: workerNames(names, configuration.environment),
    reconcile: async () => {
      await requireWritablePool(run.engine, run.own, run.limits);
      await reconcile(run, image);
    },
    followWorker: async () => followWorker(run),
  };
  void inBackground(run, 'housekeeping', async () => keepHouse(leftovers));
  return inBackground(run, 'reconciling what is left over', async () => {
    await reconcileLeftovers(leftovers);
    await run.sweep();
  });
}

/** Two agents that the engine starts at boot prepare the same mounts. */
function mountsLockOf(engine: Engine, clock: Clock, own: ContainerDetails | undefined): MountsLock {
  return {
    container: own === undefined ? undefined : shortId(own.id),
    clock,
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
async function releaseOldAgents({ engine, names }: AgentRun, commands: HostCommands): Promise<void> {
  await tryOrWarn(commands, 'releasing the mounts of the old agent', async () => {
    for (const name of names.previous) {
      const old = await engine.inspectContainer(name);
      if (old === undefined || !isManaged(old)) continue;
      const count = await releaseClonedMounts(commands, [old.id, ...(old.layers ?? [])]);
      if (count > 0) commands.log.debug(`released ${count} mounts of ${name}`);
    }
  });
}

/**
 * Work that the agent does not wait for. Its failure is logged and waits for the next start or the next bootstrap.
 * @returns a promise that is fulfilled in any case
 */
async function inBackground(
  { signal, log }: Pick<AgentRun, 'signal' | 'log'>,
  what: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (signal.aborted) return;
    log.error(`${what} failed; the agent goes on`, { error: messageOf(error) });
  }
}
