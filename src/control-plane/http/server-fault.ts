import { ConfigurationError, EntrypointError, messageOf } from '../../support/errors.ts';
import { describeBody, isHtml, quote, readApiError } from './answer.ts';
import type { HttpResponse } from './message.ts';
import { silentProxyHint } from './proxy.ts';
import {
  AnswerTooLongError,
  explainNetworkError,
  findExchange,
  isCertificateProblem,
  RedirectError,
  weakTlsHint,
  type NetworkReason,
} from './network-reason.ts';

/**
 * Where a conversation with the server fails. `dns`, `connection`, `proxy` and `tls`: on the way there. `refused` (403,
 * 3xx, any other 4xx) and `page`: something answers, but not as the server does. `busy` (429, 5xx) and `no-answer` (the
 * request was sent): the server's own trouble, which says nothing against the client.
 */
export type ServerFaultKind =
  'dns' | 'connection' | 'proxy' | 'tls' | 'refused' | 'page' | 'busy' | 'no-answer';

export interface ServerFault {
  readonly kind: ServerFaultKind;
  /** What happened, without a full stop and without the URL. */
  readonly sentence: string;
  /** What to do next, one sentence. */
  readonly hint: string;
}

/** What to do where a name, an address, a firewall or a proxy is in the way. */
const hints: Readonly<Record<ServerFaultKind, string>> = {
  dns: 'check the name in the URL, and the name servers in /etc/resolv.conf of the container',
  connection: 'check the address and port of the server, and the firewalls between this host and it',
  proxy:
    'check http_proxy and https_proxy, the password in them, and whether the server belongs into NO_PROXY',
  tls: 'check the certificate of the server, and /var/lib/rancher/etc/ssl/ca.crt on this host',
  refused: 'something refuses in the place of the server: check the address, and the proxies in front of it',
  page: 'something answers in the place of the server: check the address, and the proxies in front of it',
  busy: 'the server or the proxy in front of it is overloaded or starting: look at its log; the agent tries again',
  'no-answer': 'the server accepts connections but does not answer: look at its log; the agent tries again',
};

/**
 * Pure: says whose fault a failed request is. Goes in: what `HttpClient.request` threw, or an answer that the caller
 * cannot use: whatever has a status below 300 and comes here is a page or a text instead of what was asked for.
 */
export function explainServerFault(errorOrResponse: unknown): ServerFault {
  return isResponse(errorOrResponse) ? explainResponse(errorOrResponse) : explainError(errorOrResponse);
}

function isResponse(value: unknown): value is HttpResponse {
  return !(value instanceof Error) && typeof value === 'object' && value !== null && 'status' in value;
}

function explainResponse(response: HttpResponse): ServerFault {
  const { status } = response;
  const originalMessage = readApiError(response);
  const answers = `the server answers with status ${status}${originalMessage === undefined ? '' : ` (${originalMessage})`}`;
  if (status === 407) return fault('proxy', 'the proxy asks for a user name and password (status 407)');
  // 408: the server gave up waiting for the request; 511: a captive portal.
  if (status === 511) return fault('page', `${answers}: this network asks for a login first`);
  if (status >= 500 || status === 429 || status === 408) return fault('busy', answers);
  if (status >= 400) return fault('refused', answers);
  if (status >= 300) return fault('refused', `the server redirects the request (status ${status})`);
  const body = isHtml(response) ? 'a web page' : describeBody(response);
  return fault('page', `the server answers with ${body} instead of what was asked for`);
}

function explainError(error: unknown): ServerFault {
  if (error instanceof RedirectError) return fault('refused', quote(error.message), error.hint);
  if (error instanceof AnswerTooLongError) return fault('page', quote(error.message), error.hint);
  if (error instanceof ConfigurationError) {
    const kind = /proxy/i.test(error.message)
      ? 'proxy'
      : /certificate/i.test(error.message)
        ? 'tls'
        : 'connection';
    return fault(kind, error.message, error.hint);
  }
  const reason = explainNetworkError(error);
  const exchange = findExchange(error);
  const kind = kindOf(reason, exchange);
  const text = error instanceof EntrypointError && error.cause === undefined ? messageOf(error) : reason.text;
  return fault(
    kind,
    quote(text),
    reason.kind === 'too-weak' ? weakTlsHint : hintOfProxy(kind, exchange?.proxy),
  );
}

/** A server that was asked through a proxy may never have got the request. */
function hintOfProxy(kind: ServerFaultKind, proxy: string | undefined): string | undefined {
  return kind === 'no-answer' && proxy !== undefined ? silentProxyHint(proxy) : undefined;
}

function kindOf(
  reason: NetworkReason,
  exchange: { sent: boolean; proxy: string | undefined } | undefined,
): ServerFaultKind {
  if (isCertificateProblem(reason) || reason.kind === 'not-yet-valid' || reason.kind === 'not-tls')
    return 'tls';
  if (reason.kind === 'proxy') return 'proxy';
  if (exchange?.sent === true) return 'no-answer';
  if (exchange?.proxy !== undefined) return 'proxy';
  return reason.kind === 'name' ? 'dns' : 'connection';
}

function fault(kind: ServerFaultKind, sentence: string, hint: string = hints[kind]): ServerFault {
  return { kind, sentence, hint };
}
