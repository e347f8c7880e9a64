import { fetchBootstrap } from '../../../control-plane/bootstrap.ts';
import { messageOf } from '../../../support/errors.ts';
import type { Environment } from '../../../support/configuration.ts';
import {
  openConnection,
  readAgentSettings,
  type ServerAccess,
} from '../../../control-plane/open-connection.ts';
import { requirementOf } from '../../run/upgrade-decision.ts';

/**
 * Asks an agent's server which image it requires now.
 * @returns its name; undefined: none; `unknown`: the server gave no script, or one that cannot be understood
 */
export async function askRequirement(
  work: ServerAccess,
  agent: { readonly environment: Environment; readonly image: string },
): Promise<string | undefined> {
  try {
    const settings = readAgentSettings(agent.environment);
    work.secrets.add(settings.keys.secretKey);
    const { client } = await openConnection(work, settings.cattleUrl, { tools: false, readOnly: true });
    const bootstrap = await fetchBootstrap(client, settings.cattleUrl, settings.keys);
    if (!bootstrap.ok) return 'unknown';
    const required = requirementOf(bootstrap, agent.image);
    if (required.kind === 'unclear') return 'unknown';
    return required.kind === 'image' ? required.image : undefined;
  } catch (error) {
    work.signal.throwIfAborted();
    work.log.debug('the server could not be asked which image it requires', { error: messageOf(error) });
    return 'unknown';
  }
}
