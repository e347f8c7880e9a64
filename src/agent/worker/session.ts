import { randomBytes } from 'node:crypto';
import { isDead, shortId } from '../../engine/containers.ts';
import type { Engine, EngineInfo } from '../../engine/engine.ts';
import { HostFolderUnwritableError } from '../../host/errors.ts';
import type { Asker } from '../../host/files/status.ts';
import { inspectHost, type HostFacts } from '../../host/inspection.ts';
import { withHostLock } from '../../host/files/lock.ts';
import { EntrypointError, messageOf, type ExitCode } from '../../support/errors.ts';
import type { ConfiguredHost } from '../host.ts';
import { judgeError, type Outcome } from '../report/outcome.ts';
import { createReporter, type Reporter } from '../report/reporter.ts';
import { workerVariables } from './request.ts';

/** What a piece of work on a host has in hand. Its signal is also aborted when the lock of the host is lost. */
export interface Work extends ConfiguredHost {
  readonly reporter: Reporter;
  /** Id of the container that does the work, if it is one. */
  readonly container: string | undefined;
  /** Who asked for it; undefined where the host itself did. */
  readonly askedBy?: Asker;
}

export interface WorkRequest extends Omit<Work, 'reporter'> {
  readonly command: string;
  readonly version: string;
  readonly target?: string;
}

/**
 * Does a piece of work under the host's lock, and turns its end, whatever it is, into a state that a person can read.
 * @returns the exit status
 */
export async function doWork(
  request: WorkRequest,
  perform: (work: Work) => Promise<Outcome>,
): Promise<ExitCode> {
  const reporter = createReporter({
    configuration: request.configuration,
    clock: request.clock,
    log: request.log,
    secrets: request.secrets,
    command: request.command,
    version: request.version,
    ...(request.askedBy === undefined ? {} : { askedBy: request.askedBy }),
    ...(request.target === undefined ? {} : { target: request.target }),
    ...(request.container === undefined ? {} : { container: shortId(request.container) }),
  });
  const outcome = await conclude(request, async (signal) => perform({ ...request, reporter, signal }));
  await reporter.ended(outcome);
  return outcome.exitCode;
}

async function conclude(
  request: WorkRequest,
  perform: (signal: AbortSignal) => Promise<Outcome>,
): Promise<Outcome> {
  try {
    return await underLock(request, perform);
  } catch (error) {
    if (!(error instanceof EntrypointError)) {
      request.log.error('this is a defect of the entrypoint', { error: stackOf(error) });
    }
    return judgeError(error);
  }
}

/** A host whose folder can't be written has no lock file; the worker's name, which the daemon keeps, still is one. */
async function underLock(
  request: WorkRequest,
  perform: (signal: AbortSignal) => Promise<Outcome>,
): Promise<Outcome> {
  const { configuration, clock, log, signal } = request;
  const progress = { locked: false };
  try {
    return await withHostLock(
      {
        folder: configuration.paths.entrypoint,
        owner: {
          command: request.command,
          pid: process.pid,
          ...(request.container === undefined ? {} : { container: shortId(request.container) }),
        },
        hasEnded: async (container) => hasEnded(request.engine, container),
        limits: configuration.limits,
        clock,
        log,
        signal,
      },
      async (lockSignal) => {
        progress.locked = true;
        return perform(lockSignal);
      },
    );
  } catch (error) {
    if (progress.locked || !(error instanceof HostFolderUnwritableError)) throw error;
    log.warn('going on without the lock file of this host', { error: messageOf(error) });
    return perform(signal);
  }
}

/** Whether the engine knows that a container has no process; one that can't be asked about may well have one. */
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

/** Looks at the host, as far as the worker can see it; on a volume nothing of the host's folder is known to be writable. */
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
