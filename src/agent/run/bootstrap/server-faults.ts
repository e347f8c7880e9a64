import type { HttpResponse } from '../../../control-plane/http/message.ts';
import { readRetryAfter } from '../../../control-plane/http/repeat.ts';
import { explainServerFault, type ServerFaultKind } from '../../../control-plane/http/server-fault.ts';
import type { Fault, ReadinessCheck, ReadinessFailure } from '../readiness/result.ts';

/** Whose fault each kind is: the table of readiness §2. */
export function faultOf(kind: ServerFaultKind): Fault {
  return kind === 'busy' || kind === 'no-answer' ? 'server' : 'way';
}

/** What to do: the hints of `explainServerFault`, for what the image's curl has met. */
const hints: Readonly<Record<ServerFaultKind, string>> = {
  dns: 'Check the name in CATTLE_URL, and the name servers in /etc/resolv.conf of the container.',
  connection: 'Check the address and port of the server, and the firewalls between this host and it.',
  proxy: 'Check http_proxy, https_proxy and NO_PROXY: curl reads them as the script gets them.',
  tls: "Check the certificates of the image, and /var/lib/rancher/etc/ssl/ca.crt on this host: the image's curl uses both.",
  refused: 'Something refuses in the place of the server: check the address, and the proxies in front of it.',
  page: 'Something answers in the place of the server: check the address, and the proxies in front of it.',
  busy: 'The server or a proxy in front of it is overloaded or starting. This is tried again.',
  'no-answer': 'The server accepts connections but does not answer: look at its log. This is tried again.',
};

/** What to do, for a kind of fault that our own client did not meet. */
export function hintOf(kind: ServerFaultKind): string {
  return hints[kind];
}

/** A failed check from where its conversation with the server failed. @param now ms since 1970 */
export function failureOf(
  check: Exclude<ReadinessCheck, 'programs'>,
  errorOrResponse: unknown,
  now: number,
): ReadinessFailure {
  const { kind, sentence, hint } = explainServerFault(errorOrResponse);
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
