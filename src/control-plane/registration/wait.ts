import { deadlineIn, formatDuration } from '../../support/deadline.ts';
import {
  NotPermittedError,
  ServerUnavailableError,
  messageOf,
  type EntrypointError,
} from '../../support/errors.ts';
import { quote, readApiError } from '../http/answer.ts';
import { checkTheWay, type Credentials, type HttpResponse } from '../http/message.ts';
import { lastChance, type Connection } from '../http/connection.ts';
import {
  explainNetworkError,
  isCertificateProblem,
  RedirectElsewhereError,
  weakTlsHint,
  type NetworkReason,
} from '../http/network-reason.ts';
import { createUnknownTokenError } from './script.ts';
import { describeUrl } from '../url.ts';

export interface WaitRequest {
  readonly url: string;
  /** Whether the URL holds a registration token, so that a 404 of the API is final. */
  readonly hasToken: boolean;
  readonly credentials?: Credentials | undefined;
}

/** What one try shows: the server is there, waiting is pointless, or not yet. */
type Verdict =
  | { readonly kind: 'ready'; readonly response: HttpResponse }
  | { readonly kind: 'final'; readonly error: EntrypointError }
  | { readonly kind: 'wait'; readonly reason: string; readonly hint?: string | undefined };

/**
 * Waits until the server answers `GET url` with a status below 400 (control-plane §2.2): `SERVER_TRIES` tries,
 * `SERVER_PAUSE` ms apart, `SERVER_TOTAL` ms in all. Says why it waits once for each reason, not once for each try.
 *
 * Unlike upstream it does not wait for what no time can change: a token the API does not know, an API that asks for
 * keys, a certificate that is not trusted, TLS that is too weak, or a redirect to another server.
 *
 * @returns the answer, so that nobody has to ask again
 * @throws ServerUnavailableError when the bound is reached, ConfigurationError for an unknown token,
 *   NotPermittedError when the server's access control asks for keys
 */
export async function waitForServer(connection: Connection, request: WaitRequest): Promise<HttpResponse> {
  const { limits, clock, log, signal } = connection;
  const shown = describeUrl(request.url);
  const deadline = deadlineIn(limits.SERVER_TOTAL, clock);
  let reason = 'no answer';
  let hint: string | undefined;
  let logged = '';
  for (let tries = 1; tries <= limits.SERVER_TRIES && deadline.left() > 0; tries++) {
    const verdict = await tryServer(connection, request, deadline.left());
    if (verdict.kind === 'ready') return verdict.response;
    if (verdict.kind === 'final') throw verdict.error;
    ({ reason, hint } = verdict);
    if (reason !== logged) {
      log.warn(`${shown} is not accessible (${reason}); waiting for it`, {
        atMost: formatDuration(deadline.left()),
      });
      logged = reason;
    }
    await clock.sleep(Math.min(limits.SERVER_PAUSE, deadline.left()), signal);
  }
  throw createUnreachableError(request.url, reason, hint);
}

/** The end of waiting for a server, with the last reason. */
export function createUnreachableError(url: string, reason: string, hint?: string): ServerUnavailableError {
  return new ServerUnavailableError(`could not reach ${describeUrl(url)} (${reason}); giving up`, {
    hint: hint ?? checkTheWay,
  });
}

async function tryServer(connection: Connection, request: WaitRequest, leftMs: number): Promise<Verdict> {
  try {
    const response = await connection.client.request({
      method: 'GET',
      url: request.url,
      credentials: request.credentials,
      deadlineMs: lastChance(connection.limits, leftMs),
    });
    return judgeAnswer(request, response);
  } catch (error) {
    if (!(error instanceof ServerUnavailableError)) throw error;
    if (error instanceof RedirectElsewhereError) return { kind: 'final', error };
    const reason = explainNetworkError(error.cause);
    if (isCertificateProblem(reason)) return { kind: 'final', error: notTrusted(request.url, reason) };
    return { kind: 'wait', reason: readReason(error), hint: error.hint };
  }
}

/** Pure: what an answer means for the wait. Only an answer of the API itself is final; a proxy's 404 or 401 may pass. */
function judgeAnswer(request: WaitRequest, response: HttpResponse): Verdict {
  if (response.status < 400) return { kind: 'ready', response };
  const originalMessage = readApiError(response);
  if (originalMessage !== undefined && response.status === 404 && request.hasToken) {
    return { kind: 'final', error: createUnknownTokenError(request.url, originalMessage) };
  }
  if (originalMessage !== undefined && response.status === 401 && !request.hasToken) {
    return { kind: 'final', error: keysNeeded(request, originalMessage) };
  }
  return {
    kind: 'wait',
    reason: `status ${response.status}${originalMessage === undefined ? '' : `, ${originalMessage}`}`,
  };
}

function notTrusted(url: string, reason: NetworkReason): ServerUnavailableError {
  return new ServerUnavailableError(`${describeUrl(url)}: ${reason.text}`, {
    hint: hintFor(reason),
  });
}

function hintFor({ kind }: NetworkReason): string {
  if (kind === 'too-weak') return weakTlsHint;
  return kind === 'untrusted'
    ? 'give CA_FINGERPRINT as "Add Host" shows it, or put the certificate of the authority into /var/lib/rancher/etc/ssl/ca.crt on this host'
    : 'the certificate of the server must be renewed, or issued for this name';
}

function keysNeeded(request: WaitRequest, originalMessage: string): NotPermittedError {
  const shown = describeUrl(request.url);
  const message =
    request.credentials === undefined
      ? `${shown} asks for keys: access control is on`
      : `${shown} refuses CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY`;
  return new NotPermittedError(message, {
    hint: 'use the registration URL from "Add Host" (…/v1/scripts/TOKEN), which needs no keys',
    originalMessage,
  });
}

/** The part of a client's error that differs from try to try: the reason alone, without method and URL. */
function readReason(error: ServerUnavailableError): string {
  return error.cause === undefined ? quote(messageOf(error)) : explainNetworkError(error.cause).text;
}
