import { isDead } from '../../../engine/containers.ts';
import type { ContainerSummary } from '../../../engine/engine.ts';
import { isEngineError } from '../../../engine/errors.ts';
import { messageOf } from '../../../support/errors.ts';
import { claimsToBeManaged } from '../../identity/managed.ts';
import type { UnremovableContainer } from '../../transaction/apply.ts';
import type { TransactionResult } from '../../transaction/transaction.ts';
import { workerNames } from '../follow-profile.ts';
import type { Work } from '../session.ts';
import { isWorker } from './managed-worker.ts';

/**
 * Removes the workers that the engine could not remove when they exited, one try each. The state names those that stay: each
 * keeps a name that later workers need.
 */
export async function withDeadWorkers(work: Work, result: TransactionResult): Promise<TransactionResult> {
  const left = await removeDeadWorkers(work);
  return left.length === 0 ? result : { ...result, unremovable: [...result.unremovable, ...left] };
}

/** An engine that fails here has failed no step of the work: nothing is known then. Each call has its deadline. */
async function removeDeadWorkers(work: Work): Promise<readonly UnremovableContainer[]> {
  const { engine, names, configuration, log } = work;
  const wanted = [...workerNames(names, configuration.environment), names.deadWorker];
  try {
    const listed = await engine.listContainers({ names: wanted });
    const tried = listed
      .filter(({ id }) => id !== work.container)
      .map(async (each) => removeIfLeft(work, each));
    return (await Promise.all(tried)).filter((left) => left !== undefined);
  } catch (error) {
    log.info('cannot look for dead workers', { error: messageOf(error) });
    return [];
  }
}

/** Docker 1.10 lists a dead container and cannot inspect it: it is removed by the id in the list. */
async function removeIfLeft(work: Work, listed: ContainerSummary): Promise<UnremovableContainer | undefined> {
  const { engine, names, log } = work;
  const details = await engine.inspectContainer(listed.id);
  const isOurs = details === undefined ? isDead(listed) && claimsToBeManaged(listed) : isWorker(details);
  const isLeft = isDead(details ?? listed) || listed.name === names.deadWorker;
  if (!isOurs || !isLeft) return undefined;
  const { id, name } = listed;
  try {
    await engine.removeContainer(id, { force: false });
    log.info(`removed ${name}, which an earlier worker left`);
    return undefined;
  } catch (error) {
    const originalMessage = isEngineError(error) ? error.originalMessage : messageOf(error);
    log.warn(`${name} still cannot be removed`, { error: originalMessage });
    return { id, name, originalMessage };
  }
}
