import type { ContainerDetails, ContainerExit } from '../../engine/engine.ts';
import { describeContainer, shortId } from '../../engine/containers.ts';
import { daemonLogHint, isEngineError, isNoSpace, isOutage, noSpaceHint } from '../../engine/errors.ts';
import { diskHint, StorageLowError } from '../../host/errors.ts';
import { deadlineIn, type Deadline } from '../../support/deadline.ts';
import { CannotChangeError, messageOf, TryAgainLaterError } from '../../support/errors.ts';
import { createPrintableStream } from '../../support/printable.ts';
import { doubling, retry } from '../../support/retry.ts';
import { listenForHung } from './hung-worker.ts';
import type { Host } from '../host.ts';
import { isManaged } from '../identity/managed.ts';
import { labels } from '../identity/roles.ts';
import { buildWorkerSpec, digestOfRequest, type WorkerRequest } from './request.ts';

/**
 * The caller's side of the work. There is at most one worker on a host: the name of its container is the outer lock, which
 * the daemon enforces. A caller creates the worker. If it finds one, it follows that one until it exits, and then tries
 * again. Killing the caller does not stop the worker: the signal only stops the following.
 */
export interface WorkerCall extends Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log' | 'signal'> {
  /** Volume for `/var/lib/rancher` on hosts where that folder cannot be created. */
  readonly stateVolume: string;
  /** Gets a copy of the worker's log. */
  readonly write: (chunk: Buffer, stream: 'stdout' | 'stderr') => void;
}

/** The exit status of a process that was killed by SIGKILL, as shells and Docker show it. */
const killedStatus = 137;

/**
 * Has a worker do the request, and follows the worker.
 * @returns the worker's exit status
 * @throws TryAgainLaterError when other requests keep the worker busy, or it cannot exit; CannotChangeError when no worker
 * can be created
 */
export async function runThroughWorker(call: WorkerCall, request: WorkerRequest): Promise<number> {
  const deadline = deadlineIn(call.limits.FOLLOW_TOTAL, call.clock);
  const wanted = digestOfRequest(request);
  for (let round = 0; round < call.limits.WORKER_ROUNDS && deadline.left() > 0; round += 1) {
    const worker = await findOrMakeWorker(call, request, deadline);
    const isOurs = worker.labels[labels.request] === wanted;
    const exit = await followWorker(call, worker);
    if (exit !== 'gone' && exit.isHung === true) {
      const error = hungError(call);
      if (!isOurs) throw error;
      call.log.warn(error.message, { hint: error.hint ?? '' });
      return exit.status;
    }
    await removeEndedWorker(call, worker.id);
    if (isOurs && exit !== 'gone' && exit.status !== killedStatus) return exit.status;
    call.log.info(explainRound(isOurs, exit));
  }
  throw new TryAgainLaterError(
    `gave up after ${call.limits.WORKER_ROUNDS} workers: none of them completed this request`,
    {
      hint: 'see what keeps it busy: docker run … IMAGE status',
    },
  );
}

/** Whether a worker runs on this host. */
export async function isWorkerRunning(call: Pick<WorkerCall, 'engine' | 'names'>): Promise<boolean> {
  return (await call.engine.inspectContainer(call.names.worker))?.state === 'running';
}

/** Follows a running worker, whatever its request is. @returns how it exited; undefined if there is none */
export async function followRunningWorker(call: WorkerCall): Promise<WorkerEnd | undefined> {
  const worker = await call.engine.inspectContainer(call.names.worker);
  if (worker === undefined) return undefined;
  const exit = worker.state === 'running' ? await followWorker(call, worker) : undefined;
  const isHung = exit !== undefined && exit !== 'gone' && exit.isHung === true;
  if (!isHung) await removeEndedWorker(call, worker.id);
  return exit;
}

/** Hung: its work is over, but its process cannot exit until a disk of the host responds. */
export type WorkerEnd = 'gone' | { readonly status: number; readonly isHung?: boolean };

type Worker = Pick<ContainerDetails, 'id' | 'labels'> & { readonly exit?: Promise<ContainerExit> };

/**
 * First tries to create the worker: if several callers try, the engine gives the name to one of them, and the others find
 * it.
 */
async function findOrMakeWorker(
  call: WorkerCall,
  request: WorkerRequest,
  deadline: Deadline,
): Promise<Worker> {
  let conflict: unknown;
  const mostTries = call.limits.WORKER_CREATE_TRIES;
  for (let tries = 0; tries < mostTries && deadline.left() > 0; tries += 1) {
    try {
      return await makeWorker(call, request);
    } catch (error) {
      // Another caller was faster, or a container is being removed, or the engine holds a name without a container: inspect.
      if (!isEngineError(error, 'conflict') && !isEngineError(error, 'not-found')) throw asOutcome(error);
      conflict = error;
    }
    const found = await call.engine.inspectContainer(call.names.worker);
    const worker = found === undefined ? undefined : await takeUp(call, request, found, tries);
    if (worker !== undefined) return worker;
    await call.clock.sleep(call.limits.WORKER_GONE_PAUSE, call.signal);
  }
  throw new CannotChangeError(`cannot create a worker: the name ${call.names.worker} stays taken`, {
    originalMessage: messageOf(conflict),
    hint: `docker ps -a --filter name=${call.names.worker}; restarting the Docker daemon frees a ghost's name`,
  });
}

/** Decides about a worker that was found: a running one is followed, any other one is removed. */
async function takeUp(
  call: WorkerCall,
  request: WorkerRequest,
  found: ContainerDetails,
  tries: number,
): Promise<Worker | undefined> {
  if (!isManaged(found)) throw unmanagedError(found);
  if (found.state === 'running' || found.state === 'paused') return found;
  const isSameRequest = found.labels[labels.request] === digestOfRequest(request);
  if (found.state === 'created' && isSameRequest) return startFound(call, found);
  await clearAway(call, found, tries);
  return undefined;
}

/** The caller that created it was killed before it started it, or is about to start it: starting twice does no harm. */
async function startFound(call: WorkerCall, found: ContainerDetails): Promise<Worker | undefined> {
  try {
    await call.engine.startContainer(found.id);
    return found;
  } catch (error) {
    if (!isEngineError(error)) throw error;
    call.log.info('cannot start the worker that was found', { error: error.originalMessage });
    await removeQuietly(call, found.id);
    return undefined;
  }
}

/** Creates and starts a worker; on a host whose `/var/lib/rancher` cannot be created, with a volume in its place. */
async function makeWorker(call: WorkerCall, request: WorkerRequest): Promise<Worker> {
  try {
    return await makeWorkerFrom(call, request, undefined);
  } catch (error) {
    if (!isEngineError(error) || !/read-only file system/i.test(error.originalMessage)) throw error;
    call.log.warn('the host has no writable /var/lib/rancher, using a volume', { volume: call.stateVolume });
    return makeWorkerFrom(call, request, call.stateVolume);
  }
}

async function makeWorkerFrom(
  call: WorkerCall,
  request: WorkerRequest,
  volume: string | undefined,
): Promise<Worker> {
  const { engine, names, log } = call;
  const spec = buildWorkerSpec(request, volume);
  const id = await engine.createContainer(names.worker, spec);
  log.info(`created the worker ${names.worker}`, { task: request.task, id: shortId(id) });
  try {
    // Waits for the exit from before the start, if the engine allows it: a fast worker could be gone before a later request.
    const armed = engine.features.waitConditions ? await engine.awaitExit(id, call.signal) : undefined;
    await engine.startContainer(id);
    const { exit } = armed ?? (await engine.awaitExit(id, call.signal));
    return { id, labels: spec.labels, exit };
  } catch (error) {
    await removeQuietly(call, id);
    throw error;
  }
}

/**
 * Copies its log and waits for its exit. Also inspects it from time to time, because either stream may stop without an
 * error.
 */
async function followWorker(call: WorkerCall, worker: Worker): Promise<WorkerEnd> {
  const { engine, limits, log } = call;
  const over = new AbortController();
  const signal = AbortSignal.any([call.signal, over.signal]);
  const { promise: hung, resolve: onHung } = Promise.withResolvers<WorkerEnd>();
  const listen = listenForHung((status) => {
    // If the kernel allows it, the process has exited by then.
    void call.clock.sleep(limits.FOLLOW_POLL, signal).then(() => {
      onHung({ status, isHung: true });
    }, gone);
  });
  // Its log may hold texts of others, and goes to the terminal of a person.
  const safe = { stdout: createPrintableStream(), stderr: createPrintableStream() };
  const write: WorkerCall['write'] = (chunk, stream) => {
    call.write(safe[stream](chunk), stream);
    listen(chunk);
  };
  const copying = engine.followLog(worker.id, write, signal).catch((error: unknown) => {
    // A fast worker that is gone has written its result into the status.
    if (signal.aborted || isEngineError(error, 'not-found')) return;
    log.warn('cannot follow the log of the worker from here; the worker goes on', {
      error: messageOf(error),
      hint: `docker logs -f ${call.names.worker}`,
    });
  });
  try {
    const exit = await Promise.race([endOf(call, worker, signal), hung]);
    await Promise.race([copying, call.clock.sleep(limits.WORKER_GONE_PAUSE, signal)]);
    return exit;
  } catch (error) {
    if (call.signal.aborted) {
      const { worker: name } = call.names;
      log.warn(
        `${name} goes on without this command: docker logs -f ${name} shows it, docker stop ${name} stops it`,
      );
    }
    throw error;
  } finally {
    over.abort(new Error('the worker has ended'));
  }
}

async function endOf(call: WorkerCall, worker: Worker, signal: AbortSignal): Promise<ContainerExit> {
  // Not awaited here: the answer comes only when the worker exits. If it never comes, the inspections must continue.
  const waiting =
    worker.exit ?? call.engine.awaitExit(worker.id, signal).then(async ({ exit }) => exit, gone);
  const looking = lookUntilEnded(call, worker.id, signal);
  looking.catch(() => undefined);
  const first = await Promise.race([waiting, looking]);
  if (first !== 'gone') return first;
  call.signal.throwIfAborted();
  // On a loaded host an inspection may find no container any more before the answer with the exit status arrives.
  const grace = call.clock.sleep(call.limits.WORKER_GONE_PAUSE, signal).then(gone);
  const late = await Promise.race([waiting, grace]);
  return late === 'gone' ? looking : late;
}

function gone(): Promise<ContainerExit> {
  return Promise.resolve('gone');
}

/** Limited by the worker's own timeout and the caller's: FOLLOW_TOTAL. */
async function lookUntilEnded(call: WorkerCall, id: string, signal: AbortSignal): Promise<ContainerExit> {
  const deadline = deadlineIn(call.limits.FOLLOW_TOTAL, call.clock);
  while (deadline.left() > 0) {
    await call.clock.sleep(call.limits.FOLLOW_POLL, signal);
    const found = await inspectPatiently(call, id);
    if (found === undefined) return 'gone';
    if (found.state === 'exited') return { status: found.exitCode };
    if (found.state !== 'running' && found.state !== 'paused') return 'gone';
  }
  throw new TryAgainLaterError('the worker still runs; it goes on without this command', {
    hint: `follow it: docker logs -f ${call.names.worker}`,
  });
}

/** Continues to follow while a daemon restarts or is frozen for a while. */
async function inspectPatiently(call: WorkerCall, id: string): Promise<ContainerDetails | undefined> {
  const { limits, clock, log, signal, engine } = call;
  return retry(
    {
      what: 'look after the worker',
      tries: limits.FOLLOW_TRIES,
      pause: doubling(limits.FOLLOW_PAUSE_MIN, limits.FOLLOW_PAUSE_MAX),
      worthRetrying: isOutage,
      clock,
      log,
      signal,
    },
    async () => engine.inspectContainer(id),
  );
}

/** Removes a worker that does not run: never started, exited (engines without AutoRemove), or dead. */
async function clearAway(call: WorkerCall, worker: ContainerDetails, tries: number): Promise<void> {
  const { engine, log, names, limits } = call;
  // A caller with another request may have just created this one and be about to start it: give it time.
  if (worker.state === 'created' && tries < limits.WORKER_CREATED_LOOKS) return;
  if (worker.state === 'removing' && tries < limits.WORKER_REMOVING_LOOKS) return;
  log.info('removing an exited worker', { id: shortId(worker.id), state: worker.state });
  try {
    await engine.removeContainer(worker.id, { force: false });
  } catch (error) {
    if (isEngineError(error, 'conflict')) return;
    log.warn('the exited worker cannot be removed: parking it', { error: messageOf(error) });
    await engine.renameContainer(worker.id, names.deadWorker);
  }
}

/**
 * For engines that do not remove it automatically. If this fails, one container with a fixed name is left for the next
 * caller.
 */
async function removeEndedWorker(call: WorkerCall, id: string): Promise<void> {
  if (!call.engine.features.autoRemove) await removeQuietly(call, id);
}

async function removeQuietly(call: WorkerCall, id: string): Promise<void> {
  try {
    await call.engine.removeContainer(id, { force: false });
  } catch (error) {
    call.log.debug('left a worker for the next caller to remove', { id, error: messageOf(error) });
  }
}

function explainRound(isOurs: boolean, exit: ContainerExit): string {
  if (!isOurs) return 'the worker of another request has exited: creating one for this request';
  return exit === 'gone'
    ? 'the worker disappeared before its exit status could be read: trying again'
    : 'the worker was killed: creating another one, which goes on';
}

function hungError({ names }: WorkerCall): TryAgainLaterError {
  return new TryAgainLaterError(
    'the worker is hung: a disk on this host is not responding, and it cannot exit until it does',
    {
      hint: `${diskHint('the disks')}; ${names.worker} disappears once the disk responds, or after a reboot`,
    },
  );
}

function unmanagedError(found: ContainerDetails): CannotChangeError {
  return new CannotChangeError(
    `the container ${describeContainer(found)} has the name of our worker but is not one: it is left alone`,
    {
      hint: `rename or remove it yourself: docker rename ${found.name} NEW_NAME`,
    },
  );
}

function asOutcome(error: unknown): unknown {
  if (!isEngineError(error)) return error;
  const details = { originalMessage: error.originalMessage, cause: error };
  // The storage is too full even for the worker that would check the storage: the same result as if it had checked.
  if (isNoSpace(error.originalMessage)) {
    return new StorageLowError('the storage of this host is full: cannot create the worker', {
      ...details,
      hint: noSpaceHint,
    });
  }
  return new CannotChangeError('cannot create the worker', {
    ...details,
    hint: daemonLogHint,
  });
}
