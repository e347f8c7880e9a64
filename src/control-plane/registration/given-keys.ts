import { checkCredentials } from '../credentials.ts';
import type { Credentials } from '../http/message.ts';
import type { Connection } from '../http/connection.ts';

/**
 * Whether keys that a person gave with a registration URL are an agent's: then they are used, and the host is not registered
 * (contract §5). An account's keys are none, and neither are keys that the server does not know: then the host is registered,
 * as without them.
 */
export async function areAgentKeys(
  { client, log, secrets }: Connection,
  cattleUrl: string,
  keys: Credentials,
): Promise<boolean> {
  secrets.add(keys.secretKey);
  const answer = await checkCredentials(client, { cattleUrl, keys });
  if (answer.state === 'live') return true;
  log.warn(
    `CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY are not used: the server does not know them as the keys of an agent`,
    { reason: answer.reason },
  );
  return false;
}
