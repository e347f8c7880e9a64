import * as v from 'valibot';
import { ServerUnavailableError, messageOf } from '../support/errors.ts';
import { describeBody, parseJson, readApiError } from './http/answer.ts';
import type { Credentials, HttpClient, HttpResponse } from './http/message.ts';
import { enforceAuthentication } from './http/connection.ts';
import { joinUrl } from './url.ts';

/**
 * What one check says about the agent's keys. `unknown` passes. `revoked` is a refusal; it counts when it is
 * repeated some
 * time later (`judgeRefusal`).
 */
export type CredentialsState =
  | { readonly state: 'live' }
  | { readonly state: 'revoked'; readonly reason: string }
  | { readonly state: 'unknown'; readonly reason: string };

export interface CheckCredentialsRequest {
  readonly cattleUrl: string;
  readonly keys: Credentials;
}

const identified = v.object({ id: v.string() });

/**
 * Asks the server whether the agent's keys are live: the schema `configContent` exists for agents only. The header
 * `X-ENFORCE-AUTHENTICATION` turns dead keys into a 401 even where access control is off (control-plane §1.10, §5.1).
 *
 * PastureStack without access control may know an agent only through the fallback that this header switches off (§8),
 * so a refusal counts only if it is repeated without the header. On Rancher that second answer says the same: 401, or
 * 404 because the admin account has no such schema. Which of the two answers it is cannot be known from the image we run in.
 * Never throws because of the server.
 */
export async function checkCredentials(
  client: HttpClient,
  request: CheckCredentialsRequest,
): Promise<CredentialsState> {
  const enforced = await probe(client, request, enforceAuthentication);
  if (enforced.state !== 'revoked') return enforced;
  return await probe(client, request, {});
}

/** What a refusal means beside those before it; times as `Clock.elapsed` gives them, in ms. */
export interface Refusal {
  /** When the server began to refuse the keys; undefined while it does not. */
  readonly since: number | undefined;
  readonly isRevoked: boolean;
  /** How long until they count as revoked after another refusal; 0 if they do. */
  readonly countsInMs: number;
}

/**
 * Pure: keys are revoked only when they are refused twice, some time apart. A server whose database fails over
 * refuses all
 * keys for a moment, and so answers both probes of one check: together they are one refusal. Any other answer in
 * between
 * starts again, for it says that the server is not what it was.
 * @param since when the server began to refuse them, if the last check was a refusal
 */
export function judgeRefusal(
  { state }: Pick<CredentialsState, 'state'>,
  since: number | undefined,
  now: number,
  apartMs: number,
): Refusal {
  if (state !== 'revoked') return { since: undefined, isRevoked: false, countsInMs: apartMs };
  const begun = since ?? now;
  const countsInMs = Math.max(0, begun + apartMs - now);
  return { since: begun, isRevoked: since !== undefined && countsInMs === 0, countsInMs };
}

async function probe(
  client: HttpClient,
  { cattleUrl, keys }: CheckCredentialsRequest,
  headers: Readonly<Record<string, string>>,
): Promise<CredentialsState> {
  try {
    const url = joinUrl(cattleUrl, 'schemas/configcontent');
    return judgeProbe(await client.request({ method: 'GET', url, credentials: keys, headers, repeat: true }));
  } catch (error) {
    if (!(error instanceof ServerUnavailableError)) throw error;
    return { state: 'unknown', reason: messageOf(error) };
  }
}

/** Pure: what an answer to the probe says. A refusal counts only if the API itself sends it, not a proxy. */
export function judgeProbe(response: Pick<HttpResponse, 'status' | 'text' | 'headers'>): CredentialsState {
  const { status } = response;
  const parsed = v.safeParse(identified, parseJson(response.text));
  if (status === 200 && parsed.success && parsed.output.id.toLowerCase() === 'configcontent') {
    return { state: 'live' };
  }
  const originalMessage = readApiError(response);
  if (originalMessage !== undefined && (status === 401 || status === 404)) {
    return { state: 'revoked', reason: `the server answers with status ${status}: ${originalMessage}` };
  }
  return {
    state: 'unknown',
    reason: `the server answers with status ${status} and ${originalMessage ?? describeBody(response)}`,
  };
}
