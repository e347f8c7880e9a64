import type { ContainerExit } from '../../engine/engine.ts';
import { deadlineIn, type Deadline } from '../../support/deadline.ts';
import { ExitCode, TryAgainLaterError } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import { labels } from '../identity/roles.ts';
import type { Worker, WorkerCall, WorkerEnd } from './caller/call.ts';
import { findOrCreateWorker, removeQuietly } from './caller/create.ts';
import { followWorker, hungError } from './caller/follow.ts';
import { findWorkerAtWork, isWorker } from './names/managed-worker.ts';
import { digestOfRequest, type WorkerRequest } from './request.ts';

export type { WorkerCall, WorkerEnd };

/** The exit status of a process that was killed by SIGKILL, as shells and Docker show it. */
const killedStatus = 137;

/**
 * Has a worker do the request, and follows the worker. The status of a worker is believed only if this caller has created the
 * worker, or if it is a managed one with the same request: anybody may give a container our labels.
 * @returns the worker's exit status
 * @throws TryAgainLaterError when other requests keep the worker busy, or it cannot exit; CannotChangeError when no worker
 * can be created
 */
export async function runThroughWorker(call: WorkerCall, request: WorkerRequest): Promise<number> {
  const deadline = deadlineIn(call.limits.FOLLOW_TOTAL, call.clock);
  const wanted = digestOfRequest(request);
  for (let round = 0; round < call.limits.WORKER_ROUNDS && deadline.left() > 0; round += 1) {
    const worker = await findOrCreateWorker(call, request, deadline);
    const isOurs = worker.labels[labels.request] === wanted;
    const exit = await followWorker(call, worker, deadline);
    if (exit !== 'gone' && exit.isHung === true) {
      const error = hungError(worker);
      if (!isOurs) throw error;
      call.log.warn(error.message, { hint: error.hint ?? '' });
      return exit.status;
    }
    await removeEndedWorker(call, worker.id);
    if (isOurs && exit !== 'gone' && exit.status !== killedStatus) {
      if (!(await hasYielded(call, { ...worker, status: exit.status }, deadline))) return exit.status;
      continue;
    }
    call.log.info(explainRound(isOurs, exit));
  }
  throw new TryAgainLaterError(
    `gave up after ${call.limits.WORKER_ROUNDS} workers: none of them completed this request`,
    {
      hint: 'see what keeps it busy: docker exec rancher-agent /run.sh status',
    },
  );
}

/** Whether a worker runs on this host, under any of its names. */
export async function isWorkerRunning({ engine, names }: Pick<Host, 'engine' | 'names'>): Promise<boolean> {
  return (await findWorkerAtWork(engine, names))?.state === 'running';
}

/** Follows a running worker, whatever its request is. @returns how it exited; undefined if there is none */
export async function followRunningWorker(call: WorkerCall): Promise<WorkerEnd | undefined> {
  const worker = await findWorkerAtWork(call.engine, call.names);
  if (worker === undefined) return removeLeftWorker(call);
  return followToItsEnd(call, worker, deadlineIn(call.limits.FOLLOW_TOTAL, call.clock));
}

async function followToItsEnd(call: WorkerCall, worker: Worker, deadline: Deadline): Promise<WorkerEnd> {
  const exit = await followWorker(call, worker, deadline);
  const isHung = exit !== 'gone' && exit.isHung === true;
  if (!isHung) await removeEndedWorker(call, worker.id);
  return exit;
}

/**
 * Our worker exits with 75 if the engine had started another one first, under another name: that one is followed to its end,
 * and then this request has its turn.
 */
async function hasYielded(
  call: WorkerCall,
  { status, startedAt = 0 }: Worker & { readonly status: number },
  deadline: Deadline,
): Promise<boolean> {
  if (status !== ExitCode.tryAgainLater) return false;
  const other = await findWorkerAtWork(call.engine, call.names);
  if (other === undefined || (other.startedAt ?? 0) > startedAt) return false;
  call.log.info(`${other.name} was started first: following it`);
  const end = await followToItsEnd(call, other, deadline);
  if (end !== 'gone' && end.isHung === true) throw hungError(other);
  return true;
}

/** For engines that do not remove it automatically. */
async function removeEndedWorker(call: WorkerCall, id: string): Promise<void> {
  if (!call.engine.features.autoRemove) await removeQuietly(call, id);
}

/** One whose callers were all killed, on such an engine. */
async function removeLeftWorker(call: WorkerCall): Promise<undefined> {
  if (call.engine.features.autoRemove) return;
  const left = await call.engine.inspectContainer(call.names.worker);
  if (left?.state === 'exited' && isWorker(left)) await removeQuietly(call, left.id);
}

function explainRound(isOurs: boolean, exit: ContainerExit): string {
  if (!isOurs) return 'the worker of another request has exited: creating one for this request';
  return exit === 'gone'
    ? 'the worker disappeared before its exit status could be read: trying again'
    : 'the worker was killed: creating another one';
}
