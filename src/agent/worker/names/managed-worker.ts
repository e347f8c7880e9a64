import type { ContainerDetails, Engine } from '../../../engine/engine.ts';
import { isManaged, type Evidence } from '../../identity/managed.ts';
import { labels, type RoleNames } from '../../identity/roles.ts';

/** Whether a container is one of our workers; any other one with such a name is unmanaged. */
export function isWorker(container: Evidence): boolean {
  return container.labels[labels.role] === 'worker' && isManaged(container);
}

/** Whether it is at work, or will be again. */
export function isAtWork({ state }: Pick<ContainerDetails, 'state'>): boolean {
  return state === 'running' || state === 'paused' || state === 'restarting';
}

/**
 * The worker of a host that is at work. Of several, which does not last, the one that goes on.
 * @param names where to look, in their order
 */
export async function findWorkerAtWork(
  engine: Pick<Engine, 'inspectContainer'>,
  { workers }: Pick<RoleNames, 'workers'>,
): Promise<ContainerDetails | undefined> {
  const atWork = (await inspectWorkers(engine, workers)).filter(isAtWork);
  return atWork.reduce<ContainerDetails | undefined>(
    (first, each) => (first === undefined || comesBefore(each, first, workers) ? each : first),
    undefined,
  );
}

/** Our workers under these names or ids. An inspection waits for a start that is under way, a list does not. */
export async function inspectWorkers(
  engine: Pick<Engine, 'inspectContainer'>,
  names: readonly string[],
): Promise<readonly ContainerDetails[]> {
  const found = await Promise.all(names.map(async (name) => engine.inspectContainer(name)));
  return found.filter((each) => each !== undefined).filter(isWorker);
}

/**
 * Whether one of two workers goes on and the other one exits: the engine started it first; if it does not say so, its name has
 * the lower number. Each of the two gets the same answer.
 */
export function comesBefore(
  one: Pick<ContainerDetails, 'name' | 'startedAt'>,
  other: Pick<ContainerDetails, 'name' | 'startedAt'>,
  names: readonly string[],
): boolean {
  const [first = 0, second = 0] = [one.startedAt, other.startedAt];
  return first === second ? names.indexOf(one.name) < names.indexOf(other.name) : first < second;
}
