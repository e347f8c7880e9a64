import type { ContainerDetails, Engine } from '../engine/engine.ts';
import type { Clock } from '../support/clock.ts';
import { deadlineIn } from '../support/deadline.ts';
import { messageOf, TryAgainLaterError } from '../support/errors.ts';
import type { Limits } from '../support/limits.ts';
import type { Log } from '../support/log.ts';
import { isAgentContainer, type RoleNames } from './roles.ts';

/** The role that a container's name gives to the `run` inside it. */
export type Office = 'agent' | 'next' | 'previous' | 'other';

/** The role of that name. */
export function officeOf(name: string, names: RoleNames): Office {
  if (name === names.agent || names.legacyAgents.includes(name)) return 'agent';
  if (name === names.next) return 'next';
  return names.previous.includes(name) ? 'previous' : 'other';
}

export interface StandingBy {
  readonly engine: Engine;
  readonly names: RoleNames;
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly own: ContainerDetails;
  /** Has a worker finish the transaction that we are part of. */
  readonly settle: () => Promise<void>;
}

/**
 * Waits until our container has the agent's name. A `run` that finds itself under another role's name (a new agent
 * before its promotion, or one that an engine started at boot) doesn't act: two agents with the same keys would. If
 * nobody is at work, it has the transaction finished; that ends in our promotion or our removal.
 *
 * @throws TryAgainLaterError when neither comes within the worker's time; Docker then starts us again
 */
export async function awaitOffice(standing: StandingBy): Promise<void> {
  const { engine, names, limits, clock, log, signal, own } = standing;
  if (officeOf(own.name, names) === 'agent') return;
  log.info(`standing by as ${own.name}: an agent acts only under the name ${names.agent}`);
  const deadline = deadlineIn(limits.WORKER_TOTAL, () => clock.now());
  let aloneSince = clock.now();
  while (deadline.left() > 0) {
    await clock.sleep(limits.ROLE_POLL, signal);
    const now = await engine.inspectContainer(own.id);
    if (now !== undefined && officeOf(now.name, names) === 'agent') return;
    if (clock.now() - aloneSince < limits.STAND_BY_ALONE) continue;
    if (await isStrangerInOffice(engine, names)) {
      log.error(
        `a container that is not an agent has the name ${names.agent}: acting as ${own.name} instead`,
      );
      return;
    }
    await settleQuietly(standing);
    aloneSince = clock.now();
  }
  throw new TryAgainLaterError(`still standing by as ${own.name}`, { hint: 'see docker run … IMAGE status' });
}

async function isStrangerInOffice(engine: Engine, names: RoleNames): Promise<boolean> {
  const holder = await engine.inspectContainer(names.agent);
  return holder !== undefined && !isAgentContainer(holder);
}

/** Follows the worker that runs, or makes one; its failure is its own to tell, we look again. */
async function settleQuietly(standing: StandingBy): Promise<void> {
  try {
    await standing.settle();
  } catch (error) {
    standing.signal.throwIfAborted();
    standing.log.warn('the transaction could not be finished yet', { error: messageOf(error) });
  }
}
