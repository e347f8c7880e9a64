import { describeContainer } from '../../../engine/containers.ts';
import type { ContainerDetails, ContainerSummary, Engine } from '../../../engine/engine.ts';
import { TryAgainLaterError } from '../../../support/errors.ts';
import { comesBefore, inspectWorkers, isAtWork } from './managed-worker.ts';

/*
 * Invariant: two workers never work at once on a host, whatever their names are. The engine gives a name to one container only,
 * but a caller may use a spare name while a dead or an unmanaged container holds the first one, and another caller the first
 * name as soon as that is free. So a worker looks at all names after its own start and before its first step. It needs nothing
 * but the engine for that: the lock in the host's folder is the second barrier, where the folder can be written.
 */

/** Another worker goes on. This one exits and changes nothing, not even the state of the host. */
export class WorkerYieldsError extends TryAgainLaterError {}

/**
 * @param own the worker's own container
 * @param names all names of workers on this host (`workerNames`)
 * @returns the other containers under these names, dead ones included
 * @throws WorkerYieldsError if the engine started another worker first
 */
export async function requireTurn(
  engine: Pick<Engine, 'inspectContainer' | 'listContainers'>,
  own: ContainerDetails,
  names: readonly string[],
): Promise<readonly ContainerSummary[]> {
  // One that is not in the list is not created yet: it starts later than this one, and yields.
  const listed = await engine.listContainers({ names });
  const others = listed.filter(({ id }) => id !== own.id);
  const inspected = await inspectWorkers(
    engine,
    others.map(({ id }) => id),
  );
  const first = inspected.filter(isAtWork).find((other) => comesBefore(other, own, names));
  if (first === undefined) return others;
  throw new WorkerYieldsError(`another worker was started first and goes on: ${describeContainer(first)}`, {
    hint: `follow it: docker logs -f ${first.name}`,
  });
}
