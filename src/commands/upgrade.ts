import { inspectOwnContainer, ownImageOf } from '../agent/own.ts';
import { requirePoolRoom } from '../agent/storage-guard.ts';
import { describeCaller, workerVariables } from '../agent/worker-request.ts';
import { delegate, openEngine, requireSoundConfiguration, type Context } from './context.ts';

/**
 * `upgrade`: the agent of this host made anew from *this* image (contract §2). The work is a worker's, so that
 * killing this process, as old servers do every five seconds, changes nothing.
 * @param force replaces a stranger's container that has the agent's name
 * @returns the exit status
 */
export async function upgrade(context: Context, force: boolean): Promise<number> {
  requireSoundConfiguration(context);
  const { configuration, signal } = context;
  const engine = await openEngine(context, signal);
  const own = await inspectOwnContainer(engine, configuration);
  const image = ownImageOf(own, configuration);
  await requirePoolRoom(engine, own, configuration.limits);
  return delegate(context, engine, 'upgrade', image, {
    [workerVariables.targetImage]: image,
    ...describeCaller(own, force),
  });
}
