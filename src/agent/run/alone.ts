import { describeContainer } from '../../engine/containers.ts';
import { deadlineIn } from '../../support/deadline.ts';
import { TryAgainLaterError } from '../../support/errors.ts';
import type { Host } from '../host.ts';
import { isManaged } from '../identity/managed.ts';

/**
 * For an agent that does not know which container it runs in, and so not whether it is the active agent or on standby. Two
 * active agents would undo each other's work, so it waits until at most one agent runs: that one is itself.
 * @throws TryAgainLaterError when several still run after a worker's time; Docker then starts us again
 */
export async function waitUntilAlone(
  host: Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log' | 'signal'>,
): Promise<void> {
  const { limits, clock, log, signal } = host;
  const deadline = deadlineIn(limits.WORKER_TOTAL, clock);
  let hasWarned = false;
  while (deadline.left() > 0) {
    const agents = await findRunningAgents(host);
    if (agents.length <= 1) return;
    if (!hasWarned) {
      log.error(
        'several agents run, and this one does not know its own container: waiting until one is left',
        {
          agents: agents.join(', '),
          hint: 'stop all but one of them: docker stop NAME',
        },
      );
      hasWarned = true;
    }
    await clock.sleep(limits.STANDBY_ALONE, signal);
  }
  throw new TryAgainLaterError('several agents run, and this one does not know its own container', {
    hint: 'stop all but one of them: docker stop NAME',
  });
}

async function findRunningAgents({
  engine,
  names,
}: Pick<Host, 'engine' | 'names'>): Promise<readonly string[]> {
  const roleNames = [names.agent, ...names.legacyAgents, ...names.nexts, ...names.previous];
  const found = await Promise.all(roleNames.map(async (name) => engine.inspectContainer(name)));
  return found
    .filter((each) => each !== undefined)
    .filter((each) => each.state === 'running' && isManaged(each))
    .map(describeContainer);
}
