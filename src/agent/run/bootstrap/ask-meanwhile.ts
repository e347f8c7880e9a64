import { fetchBootstrap } from '../../../control-plane/bootstrap.ts';
import { checkCredentials } from '../../../control-plane/credentials.ts';
import { messageOf } from '../../../support/errors.ts';
import {
  openConnection,
  type AgentSettings,
  type ServerAccess,
} from '../../../control-plane/open-connection.ts';
import type { BootstrapLoop } from './loop-parts.ts';
import { observeKeys, unreachableCause } from './observe-keys.ts';

/**
 * Asks the server for our keys every SERVING_POLL while a bootstrap runs, which may be 12 h, and reports the answer. A
 * request that fails is only reported: the agent of the server has a connection of its own. A bootstrap that is in doubt does not
 * keep the agent on its image: the script is asked for as well, and read. Never rejects.
 * @param exited aborted when the bootstrap has exited
 */
export async function keepAsking(
  loop: BootstrapLoop,
  settings: AgentSettings,
  exited: AbortSignal,
): Promise<void> {
  if (loop.serving === undefined) return;
  const { clock, configuration } = loop;
  const access = { ...loop, signal: AbortSignal.any([loop.signal, exited]) };
  try {
    for (;;) {
      // From 0.8 to 1.2 of it: hosts that were started together do not ask together.
      const pause = configuration.limits.SERVING_POLL * (0.8 + 0.4 * clock.random());
      await clock.sleep(Math.round(pause), access.signal);
      await ask(access, settings);
    }
  } catch (error) {
    if (!access.signal.aborted)
      loop.log.error('the server is not asked any more while the bootstrap runs', {
        error: messageOf(error),
      });
  }
}

async function ask(loop: BootstrapLoop, settings: AgentSettings): Promise<void> {
  try {
    const { client } = await (loop.open ?? connectForUs)(loop, settings.cattleUrl);
    const keys = await checkCredentials(client, settings);
    if (!loop.signal.aborted) observeKeys(loop.serving, keys);
    if (loop.serving?.isInDoubt?.() !== true) return;
    // A bootstrap that hangs never reads another script, so only this shows that the server requires another image.
    const bootstrap = await fetchBootstrap(client, settings.cattleUrl, settings.keys);
    if (bootstrap.ok && !loop.signal.aborted) loop.onBootstrap(bootstrap);
  } catch (error) {
    if (!loop.signal.aborted) loop.serving?.unanswered(unreachableCause, messageOf(error));
  }
}

/** The programs of this container keep what they trust while one of them runs. */
async function connectForUs(access: ServerAccess, url: string): ReturnType<typeof openConnection> {
  return openConnection(access, url, { tools: false });
}
