import { isDead } from '../../../engine/containers.ts';
import type { ContainerSummary } from '../../../engine/engine.ts';
import { isEngineError } from '../../../engine/errors.ts';
import { messageOf } from '../../../support/errors.ts';
import { claimsToBeManaged } from '../../identity/managed.ts';
import type { UnremovableContainer } from '../../transaction/apply.ts';
import type { TransactionResult } from '../../transaction/transaction.ts';
import type { Work } from '../session.ts';
import { isWorker } from './managed-worker.ts';

/**
 * Removes the workers that the engine could not remove when they exited, one try each. The state names those that stay: each
 * keeps a name that later workers need.
 */
export async function withDeadWorkers(work: Work, result: TransactionResult): Promise<TransactionResult> {
  const tried = work.otherWorkers.map(async (listed) => removeIfLeft(work, listed));
  const left = (await Promise.all(tried)).filter((each) => each !== undefined);
  return left.length === 0 ? result : { ...result, unremovable: [...result.unremovable, ...left] };
}

/** Docker 1.10 lists a dead container and cannot inspect it: it is removed by the id in the list. */
async function removeIfLeft(work: Work, listed: ContainerSummary): Promise<UnremovableContainer | undefined> {
  const { engine, names, log } = work;
  const { id, name } = listed;
  // Where the engine does not answer, nothing is known.
  const details = await engine.inspectContainer(id).catch(() => 'unknown' as const);
  if (details === 'unknown') return undefined;
  const isOurs = details === undefined ? isDead(listed) && claimsToBeManaged(listed) : isWorker(details);
  const isLeft = isDead(details ?? listed) || name === names.deadWorker;
  if (!isOurs || !isLeft) return undefined;
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
