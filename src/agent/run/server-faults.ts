import { explainNetworkError } from '../../control-plane/network-reason.ts';
import { isHtml, quote, readApiError } from '../../control-plane/answer.ts';
import { readRetryAfter, type HttpResponse } from '../../control-plane/client.ts';
import { EntrypointError, messageOf } from '../../support/errors.ts';
import type { Fault, ReadinessCheck, ReadinessFailure } from './readiness-result.ts';

/** Where a conversation with the server fails. `busy` and `no-answer` say nothing against whoever asks. */
export type ServerFaultKind =
  'dns' | 'connection' | 'proxy' | 'tls' | 'refused' | 'page' | 'busy' | 'no-answer';

export interface ServerFault {
  readonly kind: ServerFaultKind;
  readonly sentence: string;
  readonly hint: string;
}

/** What to do, for each kind. */
export const serverFaultHints: Readonly<Record<ServerFaultKind, string>> = {
  dns: 'Check the name in CATTLE_URL, and the name servers in /etc/resolv.conf of the container.',
  connection: 'Check the address and port of the server, and the firewalls between this host and it.',
  proxy: 'Check http_proxy, https_proxy and NO_PROXY in the environment and in agent.conf.',
  tls: 'Check the certificate of the server, and /var/lib/rancher/etc/ssl/ca.crt on this host.',
  refused: 'Something refuses in the place of the server: check the address, and the proxies in front of it.',
  page: 'Something answers in the place of the server: check the address, and the proxies in front of it.',
  busy: 'The server is overloaded or starting: look at its log. This is tried again.',
  'no-answer': 'The server accepts connections but does not answer: look at its log. This is tried again.',
};

/** Whose fault each kind is: the table in `readiness.md`, 2. */
export function faultOf(kind: ServerFaultKind): Fault {
  return kind === 'busy' || kind === 'no-answer' ? 'server' : 'way';
}

/** A failed check from where its conversation with the server failed. @param now ms since 1970 */
export function failureOf(check: ReadinessCheck, errorOrResponse: unknown, now: number): ReadinessFailure {
  const { kind, sentence, hint } = explain(errorOrResponse);
  const retryAfterMs = isResponse(errorOrResponse) ? readRetryAfter(errorOrResponse, now) : undefined;
  return {
    check,
    fault: faultOf(kind),
    cause: `ready-${check}-${kind}`,
    message: sentence,
    hint,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

function isResponse(value: unknown): value is HttpResponse {
  return typeof value === 'object' && value !== null && !(value instanceof Error) && 'status' in value;
}

/** The only place that knows how network errors are explained: `explainServerFault` takes its place. */
function explain(errorOrResponse: unknown): ServerFault {
  const { kind, sentence } = isResponse(errorOrResponse)
    ? explainResponse(errorOrResponse)
    : explainError(errorOrResponse);
  return { kind, sentence, hint: serverFaultHints[kind] };
}

function explainResponse(response: HttpResponse): Omit<ServerFault, 'hint'> {
  const { status } = response;
  const said = readApiError(response);
  const sentence = `the server answers with status ${status}${said === undefined ? '' : `: ${said}`}`;
  if (status === 407) return { kind: 'proxy', sentence };
  if (status === 429 || status === 408 || (status >= 500 && status !== 511))
    return { kind: 'busy', sentence };
  if (status >= 300) return { kind: 'refused', sentence };
  const body = isHtml(response) ? 'a web page' : 'something else';
  return { kind: 'page', sentence: `the server answers with ${body} instead of what was asked for` };
}

function explainError(error: unknown): Omit<ServerFault, 'hint'> {
  if (error instanceof EntrypointError && error.cause === undefined) {
    const sentence = quote(messageOf(error));
    if (/redirect/.test(sentence)) return { kind: 'refused', sentence };
    if (/longer than/.test(sentence)) return { kind: 'page', sentence };
    return { kind: /proxy/i.test(sentence) ? 'proxy' : 'tls', sentence };
  }
  const { kind, text } = explainNetworkError(error);
  const sentence = quote(text);
  if (/proxy/.test(text)) return { kind: 'proxy', sentence };
  if (kind === 'unreachable') return { kind: /name/.test(text) ? 'dns' : 'connection', sentence };
  if (kind === 'timeout') return { kind: /connecting/.test(text) ? 'connection' : 'no-answer', sentence };
  if (kind === 'broken') return { kind: 'no-answer', sentence };
  return { kind: 'tls', sentence };
}
