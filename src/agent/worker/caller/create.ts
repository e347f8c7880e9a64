import { describeContainer, isDead, shortId } from '../../../engine/containers.ts';
import type { ContainerDetails, ContainerSummary } from '../../../engine/engine.ts';
import {
  daemonLogHint,
  isEngineError,
  isLogDriverTrouble,
  isNoSpace,
  logDriverHint,
  noSpaceHint,
} from '../../../engine/errors.ts';
import { StorageLowError } from '../../../host/errors.ts';
import type { Deadline } from '../../../support/deadline.ts';
import { CannotChangeError, messageOf } from '../../../support/errors.ts';
import { allNamesTaken, describeOrigin, type NameHolder } from '../../identity/role-name-taken.ts';
import { labels } from '../../identity/roles.ts';
import { isAtWork, isWorker } from '../names/managed-worker.ts';
import { buildWorkerSpec, digestOfRequest, type WorkerRequest } from '../request.ts';
import type { Worker, WorkerCall } from './call.ts';

/** What came of one name. */
type Attempt =
  /** A worker has it: created now, or found. */
  | { readonly kind: 'worker'; readonly worker: Worker }
  /** It is free soon. */
  | { readonly kind: 'again'; readonly conflict: unknown }
  /** Held for long: the next name is tried. */
  | Held;

interface Held {
  readonly kind: 'held';
  readonly holder: NameHolder;
  readonly why: keyof typeof reasons;
}

const reasons = {
  unmanaged: 'an unmanaged container',
  dead: 'the engine cannot remove it',
  ghost: 'the engine calls the name taken, and has no such container',
} as const;

interface Try {
  readonly call: WorkerCall;
  readonly request: WorkerRequest;
  /** Tries before this one. */
  readonly tries: number;
  /** Names whose holders the log has named. */
  readonly named: Set<string>;
}

/**
 * Creates a worker, or finds the one that another caller was faster to create: the engine gives a name to one container. A
 * spare name is used only if a dead or an unmanaged container holds every lower one.
 * @throws RoleNameTakenError when unmanaged containers hold all names; CannotChangeError when no worker can be created
 */
export async function findOrCreateWorker(
  call: WorkerCall,
  request: WorkerRequest,
  deadline: Deadline,
): Promise<Worker> {
  const named = new Set<string>();
  let conflict: unknown;
  for (let tries = 0; tries < call.limits.WORKER_CREATE_TRIES && deadline.left() > 0; tries += 1) {
    const attempt = await tryNames({ call, request, tries, named });
    if (attempt.kind === 'worker') return attempt.worker;
    conflict = attempt.conflict;
    await call.clock.sleep(call.limits.WORKER_GONE_PAUSE, call.signal);
  }
  const { worker } = call.names;
  throw new CannotChangeError(`cannot create a worker: the name ${worker} stays taken`, {
    originalMessage: messageOf(conflict),
    hint: `see what has it: docker ps -a --filter name=${worker}; if nothing has it, systemctl restart docker frees the name`,
  });
}

async function tryNames(attempt: Try): Promise<Exclude<Attempt, Held>> {
  const { call, named } = attempt;
  const all: Held[] = [];
  for (const name of call.names.workers) {
    const result = await tryName(attempt, name);
    if (result.kind !== 'held') return result;
    all.push(result);
    if (named.has(name)) continue;
    named.add(name);
    call.log.warn(`the name ${name} is taken (${reasons[result.why]}): trying the next one`, {
      container: describeContainer(result.holder),
      origin: describeOrigin(result.holder),
    });
  }
  throw noNameError(all);
}

function noNameError(all: readonly Held[]): CannotChangeError {
  if (all.every(({ why }) => why === 'unmanaged'))
    return allNamesTaken(
      'create a worker',
      all.map(({ holder }) => holder),
    );
  const list = all.map(({ holder, why }) => `${holder.name} (${reasons[why]})`).join(', ');
  return new CannotChangeError(`cannot create a worker: no name is free: ${list}`, {
    hint: 'see the runbook, "a container cannot be removed"; systemctl restart docker frees a name without a container',
  });
}

async function tryName(attempt: Try, name: string): Promise<Attempt> {
  const { call, request } = attempt;
  let conflict: unknown;
  try {
    return { kind: 'worker', worker: await createWorker(call, request, name) };
  } catch (error) {
    // Another caller was faster, or a container is being removed, or the engine holds a name without a container: look.
    if (!isEngineError(error, 'conflict') && !isVanished(error)) throw asOutcome(error, request);
    conflict = error;
  }
  const found = await call.engine.inspectContainer(name);
  const result = await (found === undefined ? lookInList(attempt, name) : takeUp(attempt, found));
  return result === 'again' ? { kind: 'again', conflict } : result;
}

/** A container that was removed between its creation and its start. A missing image is a 404 as well. */
function isVanished(error: unknown): boolean {
  return isEngineError(error, 'not-found') && !isImageMissing(error.originalMessage);
}

function isImageMissing(message: string): boolean {
  return /no such image/i.test(message);
}

/**
 * Nothing to inspect: the name is free by now, or Docker 1.10 has a dead container there, which it lists and cannot inspect, or
 * nothing but the name.
 */
async function lookInList(attempt: Try, name: string): Promise<Attempt | 'again'> {
  const { call, tries } = attempt;
  const [listed] = await call.engine.listContainers({ names: [name] });
  if (listed !== undefined) return isDead(listed) ? clearAway(attempt, listed) : 'again';
  if (tries < call.limits.WORKER_GHOST_LOOKS) return 'again';
  return { kind: 'held', holder: { id: '', name, image: 'none' }, why: 'ghost' };
}

/** Decides about a container that was found: a worker at work is followed, one that has ended is removed. */
async function takeUp(attempt: Try, found: ContainerDetails): Promise<Attempt | 'again'> {
  const { call, request } = attempt;
  if (!isWorker(found)) return { kind: 'held', holder: found, why: 'unmanaged' };
  if (isAtWork(found)) return { kind: 'worker', worker: found };
  const isSameRequest = found.labels[labels.request] === digestOfRequest(request);
  if (found.state !== 'created' || !isSameRequest) return clearAway(attempt, found);
  return startFound(call, found);
}

/** The caller that created it was killed before it started it, or is about to start it: starting twice does no harm. */
async function startFound(call: WorkerCall, found: ContainerDetails): Promise<Attempt | 'again'> {
  try {
    await call.engine.startContainer(found.id);
    return { kind: 'worker', worker: { ...found, startedAt: call.clock.now() } };
  } catch (error) {
    if (!isEngineError(error)) throw error;
    call.log.info('cannot start the worker that was found', { error: error.originalMessage });
    await removeQuietly(call, found.id);
    return 'again';
  }
}

/** Creates and starts a worker; on a host whose `/var/lib/rancher` cannot be created, with a volume in its place. */
async function createWorker(call: WorkerCall, request: WorkerRequest, name: string): Promise<Worker> {
  try {
    return await createFrom(call, request, name, undefined);
  } catch (error) {
    if (!isEngineError(error) || !/read-only file system/i.test(error.originalMessage)) throw error;
    call.log.warn('the host has no writable /var/lib/rancher, using a volume', { volume: call.stateVolume });
    return createFrom(call, request, name, call.stateVolume);
  }
}

async function createFrom(
  call: WorkerCall,
  request: WorkerRequest,
  name: string,
  volume: string | undefined,
): Promise<Worker> {
  const { engine, log, clock } = call;
  const spec = buildWorkerSpec(request, volume);
  const id = await engine.createContainer(name, spec);
  log.info(`created the worker ${name}`, { task: request.task, id: shortId(id) });
  try {
    // Waits for the exit from before the start, if the engine allows it: a fast worker could be gone before a later request.
    const armed = engine.features.waitConditions ? await engine.awaitExit(id, call.signal) : undefined;
    const copyOutput = await attachTo(call, id);
    await engine.startContainer(id);
    const { exit } = armed ?? (await engine.awaitExit(id, call.signal));
    const output = copyOutput === undefined ? {} : { copyOutput };
    return { id, name, labels: spec.labels, startedAt: clock.now(), exit, ...output };
  } catch (error) {
    await removeQuietly(call, id);
    throw error;
  }
}

/** Its output is for people: a worker does its work without it, and its log may still be read. */
async function attachTo({ engine, log, signal }: WorkerCall, id: string): Promise<Worker['copyOutput']> {
  try {
    return await engine.attach(id, signal);
  } catch (error) {
    signal.throwIfAborted();
    log.info('cannot attach to the worker: its log is followed instead', { error: messageOf(error) });
    return undefined;
  }
}

/** Removes a worker that does not run: never started, exited (engines without AutoRemove), or dead. */
async function clearAway(
  { call, tries }: Try,
  worker: ContainerDetails | ContainerSummary,
): Promise<Attempt | 'again'> {
  const { engine, log, names, limits } = call;
  // A caller with another request may have just created this one and be about to start it: give it time.
  if (worker.state === 'created' && tries < limits.WORKER_CREATED_LOOKS) return 'again';
  if (worker.state === 'removing' && tries < limits.WORKER_REMOVING_LOOKS) return 'again';
  log.info('removing an exited worker', { name: worker.name, id: shortId(worker.id), state: worker.state });
  try {
    await engine.removeContainer(worker.id, { force: false });
    return 'again';
  } catch (error) {
    // Another caller has started it, or somebody is removing it: the engine itself shows such a worker as dead for a moment.
    const isPassing = !isDead(worker) || tries < limits.WORKER_GHOST_LOOKS;
    if (isEngineError(error, 'conflict') && isPassing) return 'again';
    log.warn('the exited worker cannot be removed: parking it', { error: messageOf(error) });
  }
  try {
    await engine.renameContainer(worker.id, names.deadWorker);
    return 'again';
  } catch (error) {
    if (!isEngineError(error)) throw error;
    // Docker 1.10 knows no dead container by its id, and another one may be parked already.
    log.info('it cannot be renamed either', { error: error.originalMessage });
    return { kind: 'held', holder: originOf(worker), why: 'dead' };
  }
}

function originOf(worker: ContainerDetails | ContainerSummary): NameHolder {
  return typeof worker.command === 'string'
    ? { ...worker, command: [worker.command] }
    : { ...worker, command: worker.command };
}

/** If this fails, one container with a fixed name is left for the next caller. */
export async function removeQuietly(call: Pick<WorkerCall, 'engine' | 'log'>, id: string): Promise<void> {
  try {
    await call.engine.removeContainer(id, { force: false });
  } catch (error) {
    call.log.debug('left a worker for the next caller to remove', { id, error: messageOf(error) });
  }
}

function asOutcome(error: unknown, request: WorkerRequest): unknown {
  if (!isEngineError(error)) return error;
  const details = { originalMessage: error.originalMessage, cause: error };
  // The storage is too full even for the worker that would check the storage: the same result as if it had checked.
  if (isNoSpace(error.originalMessage)) {
    return new StorageLowError('the storage of this host is full: cannot create the worker', {
      ...details,
      hint: noSpaceHint,
    });
  }
  if (isImageMissing(error.originalMessage)) {
    return new CannotChangeError(
      `cannot create the worker: its image is not on this host: ${request.workerImage}`,
      {
        ...details,
        hint: `docker pull ${request.workerImage}, then start again`,
      },
    );
  }
  return new CannotChangeError('cannot create the worker', {
    ...details,
    hint: isLogDriverTrouble(error.originalMessage) ? logDriverHint : daemonLogHint,
  });
}
