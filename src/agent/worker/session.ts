import { randomBytes } from 'node:crypto';
import { isDead, shortId } from '../../engine/containers.ts';
import type { ContainerDetails, ContainerSummary, Engine, EngineInfo } from '../../engine/engine.ts';
import { HostFolderUnwritableError } from '../../host/errors.ts';
import type { Asker } from '../../host/files/status.ts';
import { inspectHost, type HostFacts } from '../../host/inspection.ts';
import { withHostLock } from '../../host/files/lock.ts';
import { EntrypointError, messageOf, type ExitCode } from '../../support/errors.ts';
import type { Log } from '../../support/log.ts';
import { hostOf, type ConfiguredHost } from '../host.ts';
import { judgeError, type Outcome } from '../report/outcome.ts';
import { createReporter, type Reporter } from '../report/reporter.ts';
import { WorkerYieldsError } from './names/turn.ts';
import { workerVariables } from './request.ts';

/** What a piece of work on a host uses. Its signal is also aborted when the lock of the host is lost. */
export interface Work extends ConfiguredHost {
  readonly reporter: Reporter;
  /** The container that does the work. */
  readonly own: ContainerDetails;
  /** Its id. */
  readonly container: string;
  /** Other containers that had the name of a worker when this one began, as they were listed. */
  readonly otherWorkers: readonly ContainerSummary[];
  /** Who asked for it; undefined if the host itself started it. */
  readonly askedBy?: Asker;
}

/** What a worker learns of itself and of others when it begins. */
export type Turn = Pick<Work, 'own' | 'container' | 'otherWorkers'>;

/** What a worker knows before it has reached the engine. */
export interface WorkStart extends Omit<Work, 'engine' | 'limits' | 'paths' | 'reporter' | keyof Turn> {
  readonly command: string;
  /** Id of the container that does the work, as far as the kernel shows it. */
  readonly container: string | undefined;
  readonly version: string;
  readonly target?: string;
}

/**
 * Does a piece of work under the host's lock. Only this function classifies an error that stops the work, and writes it as a
 * state for a person. A worker that yields to another one writes nothing: the state is the other one's.
 * @param connect opens the engine, and finds the container that does the work there
 * @returns the exit status
 * @throws WorkerYieldsError
 */
export async function doWork(
  start: WorkStart,
  connect: () => Promise<Turn & { readonly engine: Engine }>,
  perform: (work: Work) => Promise<Outcome>,
): Promise<ExitCode> {
  const reporter = reporterOf(start);
  const outcome = await outcomeOf(start.log, async () => {
    const { askedBy } = start;
    const { engine, ...turn } = await connect();
    const work: Work = {
      ...hostOf(start, engine),
      reporter,
      ...turn,
      ...(askedBy === undefined ? {} : { askedBy }),
    };
    return underLock(work, start.command, perform);
  });
  await reporter.ended(outcome);
  return outcome.exitCode;
}

function reporterOf({ container, ...start }: WorkStart): Reporter {
  return createReporter({ ...start, ...(container === undefined ? {} : { container: shortId(container) }) });
}

async function outcomeOf(log: Log, work: () => Promise<Outcome>): Promise<Outcome> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof WorkerYieldsError) throw error;
    if (!(error instanceof EntrypointError)) {
      log.error('this is a defect of the entrypoint', { error: stackOf(error) });
    }
    return judgeError(error);
  }
}

/** A host whose folder cannot be written has no lock file. The names of workers are then the only lock (`names/turn.ts`). */
async function underLock(
  work: Work,
  command: string,
  perform: (work: Work) => Promise<Outcome>,
): Promise<Outcome> {
  const { engine, paths, limits, clock, log, signal, container } = work;
  const progress = { isLocked: false };
  try {
    return await withHostLock(
      {
        folder: paths.entrypoint,
        owner: { command, pid: process.pid, container: shortId(container) },
        hasEnded: async (other) => hasEnded(engine, other),
        limits,
        clock,
        log,
        signal,
      },
      async (lockSignal) => {
        progress.isLocked = true;
        return perform({ ...work, signal: lockSignal });
      },
    );
  } catch (error) {
    if (progress.isLocked || !(error instanceof HostFolderUnwritableError)) throw error;
    log.warn('working without the lock file of this host', { error: messageOf(error) });
    return perform(work);
  }
}

/** Whether the engine knows that a container has no process. Without an answer, it may have one. */
async function hasEnded(engine: Engine, container: string): Promise<boolean> {
  try {
    const found = await engine.inspectContainer(container);
    return found === undefined || found.state === 'exited' || isDead(found);
  } catch {
    return false;
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/**
 * Inspects the host, as far as the worker can see it. If it works with a volume, the host's folder counts as not writable.
 */
export async function inspectForAgent(work: Work, info: EngineInfo): Promise<HostFacts> {
  const facts = await inspectHost({
    paths: work.configuration.paths,
    operatingSystem: info.text.toLowerCase().includes('boot2docker') ? 'boot2docker' : info.operatingSystem,
    randomBytes,
  });
  work.secrets.add(facts.registrationKey);
  const onVolume = Boolean(work.configuration.environment[workerVariables.stateOnVolume]);
  return onVolume ? { ...facts, varLibWritable: false } : facts;
}
