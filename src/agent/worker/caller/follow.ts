import type { ContainerDetails, ContainerExit } from '../../../engine/engine.ts';
import { isEngineError, isOutage } from '../../../engine/errors.ts';
import { diskHint } from '../../../host/errors.ts';
import { deadlineIn, formatDuration, type Deadline } from '../../../support/deadline.ts';
import { messageOf, TryAgainLaterError } from '../../../support/errors.ts';
import { createPrintableStream } from '../../../support/printable.ts';
import { doubling, retry } from '../../../support/retry.ts';
import { listenForHung } from '../hung-worker.ts';
import { isAtWork } from '../names/managed-worker.ts';
import type { Worker, WorkerCall, WorkerEnd } from './call.ts';

/**
 * Copies a worker's log and waits for its exit. Also inspects it from time to time, because either stream may stop without an
 * error.
 * @param deadline of the caller
 * @throws TryAgainLaterError when the caller's time is up, or the worker has run longer than any worker may (WORKER_LIFE)
 */
export async function followWorker(call: WorkerCall, worker: Worker, deadline: Deadline): Promise<WorkerEnd> {
  const { engine, limits, log } = call;
  const time = timeLeft(call, worker, deadline);
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
  const copying = copyOutput(engine, worker, write, signal).catch((error: unknown) => {
    // A fast worker that is gone has written its result into the status.
    if (signal.aborted || isEngineError(error, 'not-found')) return;
    log.warn('cannot follow the log of the worker from here; the worker continues', {
      error: messageOf(error),
      hint: `docker logs -f ${worker.name}; it also keeps a log on the host: /var/lib/rancher/entrypoint/worker.log`,
    });
  });
  try {
    const exit = await Promise.race([endOf(call, worker, { signal, time }), hung]);
    await Promise.race([copying, call.clock.sleep(limits.WORKER_GONE_PAUSE, signal)]);
    return exit;
  } catch (error) {
    if (call.signal.aborted) {
      log.warn(
        `${worker.name} continues without this command: docker logs -f ${worker.name} shows it, docker stop ${worker.name} stops it`,
      );
    }
    throw error;
  } finally {
    over.abort(new Error('the worker has exited'));
  }
}

/** All that our own worker prints; of another one its log or, if the engine cannot read that, what it prints from now on. */
async function copyOutput(
  engine: WorkerCall['engine'],
  worker: Worker,
  write: WorkerCall['write'],
  signal: AbortSignal,
): Promise<void> {
  if (worker.copyOutput !== undefined) return worker.copyOutput(write);
  try {
    await engine.followLog(worker.id, write, signal);
  } catch (error) {
    if (!isEngineError(error, 'failed')) throw error;
    const copy = await engine.attach(worker.id, signal);
    await copy(write);
  }
}

/** The error for a worker whose work is over and whose process cannot exit. */
export function hungError({ name }: Pick<Worker, 'name'>, how = ''): TryAgainLaterError {
  return new TryAgainLaterError(
    `the worker is hung${how}: a disk on this host is not responding, and it cannot exit until it does`,
    {
      hint: `${diskHint('the disks')}; ${name} disappears once the disk responds, or after a reboot`,
    },
  );
}

/**
 * No worker lives longer than WORKER_LIFE, so none is followed longer. Its age is what the engine's time says now; from here on
 * the clock that nobody sets counts.
 */
function timeLeft({ clock, limits }: WorkerCall, worker: Worker, deadline: Deadline): Deadline {
  const age = worker.startedAt === undefined ? 0 : Math.max(0, clock.now() - worker.startedAt);
  const life = limits.WORKER_LIFE - age;
  if (life <= 0) throw hungError(worker, ` (${worker.name} has run for ${formatDuration(age)})`);
  return deadlineIn(Math.min(life, deadline.left()), clock);
}

interface Following {
  readonly signal: AbortSignal;
  readonly time: Deadline;
}

async function endOf(call: WorkerCall, worker: Worker, following: Following): Promise<ContainerExit> {
  const { signal } = following;
  // Not awaited here: the answer comes only when the worker exits. If it never comes, the inspections must continue.
  const waiting =
    worker.exit ?? call.engine.awaitExit(worker.id, signal).then(async ({ exit }) => exit, gone);
  const looking = lookUntilEnded(call, worker, following);
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

async function lookUntilEnded(
  call: WorkerCall,
  worker: Worker,
  { signal, time }: Following,
): Promise<ContainerExit> {
  while (time.left() > 0) {
    await call.clock.sleep(Math.min(call.limits.FOLLOW_POLL, time.left()), signal);
    const found = await inspectPatiently(call, worker.id);
    if (found === undefined) return 'gone';
    if (found.state === 'exited') return { status: found.exitCode };
    if (!isAtWork(found)) return 'gone';
  }
  throw new TryAgainLaterError('the worker still runs, and continues without this command', {
    hint: `follow it: docker logs -f ${worker.name}`,
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
