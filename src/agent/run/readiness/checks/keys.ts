import type { HttpClient, HttpRequest, HttpResponse } from '../../../../control-plane/http/message.ts';
import { checkCredentials } from '../../../../control-plane/credentials.ts';
import type { Limits } from '../../../../support/limits/limits.ts';
import type { AgentSettings } from '../../../../control-plane/open-connection.ts';
import type { ReadinessFailure } from '../result.ts';
import { failureOf } from '../../bootstrap/server-faults.ts';
import { registerAgain } from '../../serving/causes.ts';

/** Asks the server whether it knows the agent keys: one small request, two when it says no. @param now ms since 1970 */
export async function checkKeys(
  client: HttpClient,
  settings: AgentSettings,
  limits: Limits,
  now: () => number,
): Promise<ReadinessFailure | undefined> {
  let last: unknown;
  const request = async (wanted: HttpRequest): Promise<HttpResponse> => {
    try {
      // Once: the loop that checks has pauses of its own.
      const response = await client.request({ ...wanted, repeat: false, deadlineMs: limits.READY_REQUEST });
      last = response;
      return response;
    } catch (error) {
      last = error;
      throw error;
    }
  };
  const found = await checkCredentials({ request }, settings);
  if (found.state === 'live') return undefined;
  if (found.state === 'unknown') return failureOf('keys', last, now());
  return {
    check: 'keys',
    fault: 'keys',
    cause: 'ready-keys-revoked',
    message: `the server refuses the keys of this agent: ${found.reason}`,
    hint: `${registerAgain.charAt(0).toUpperCase()}${registerAgain.slice(1)}.`,
  };
}
