import { DeadlineError } from '../support/deadline.ts';
import { messageOf, systemCodeOf } from '../support/errors.ts';

/** What kept a request from being answered; programs decide by `kind`, people read `text`. */
export interface NetworkReason {
  readonly kind:
    'unreachable' | 'timeout' | 'broken' | 'untrusted' | 'expired' | 'not-yet-valid' | 'wrong-host' | 'other';
  readonly text: string;
}

/**
 * What is wrong with the certificate of the server, if that is it: no waiting helps. One that is not valid yet becomes
 * so, mostly by this host's clock being set.
 */
export function isCertificateProblem({ kind }: NetworkReason): boolean {
  return kind === 'untrusted' || kind === 'expired' || kind === 'wrong-host';
}

const untrusted: NetworkReason = {
  kind: 'untrusted',
  text: 'the TLS certificate is signed by an unknown authority',
};

const notTls: NetworkReason = {
  kind: 'other',
  text: 'TLS handshake failed (does the server speak https on this port?)',
};

const notHttp: NetworkReason = { kind: 'broken', text: 'the answer is not valid HTTP or was cut off' };

const reasons: Readonly<Record<string, NetworkReason>> = {
  ECONNREFUSED: { kind: 'unreachable', text: 'connection refused' },
  ENOTFOUND: { kind: 'unreachable', text: 'name not found' },
  EAI_AGAIN: { kind: 'unreachable', text: 'name could not be looked up: the name server does not answer' },
  EHOSTUNREACH: { kind: 'unreachable', text: 'no route to the host' },
  ENETUNREACH: { kind: 'unreachable', text: 'network unreachable' },
  ETIMEDOUT: { kind: 'timeout', text: 'timed out while connecting' },
  UND_ERR_CONNECT_TIMEOUT: { kind: 'timeout', text: 'timed out while connecting' },
  UND_ERR_HEADERS_TIMEOUT: { kind: 'timeout', text: 'timed out waiting for an answer' },
  UND_ERR_BODY_TIMEOUT: { kind: 'timeout', text: 'timed out in the middle of the answer' },
  ECONNRESET: { kind: 'broken', text: 'connection reset' },
  EPIPE: { kind: 'broken', text: 'connection closed while sending' },
  UND_ERR_SOCKET: { kind: 'broken', text: 'connection closed before the answer was complete' },
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: {
    kind: 'broken',
    text: 'the answer is shorter or longer than announced',
  },
  UND_ERR_ABORTED: { kind: 'other', text: 'the proxy refused the connection' },
  UND_ERR_PRX_CONN: { kind: 'other', text: 'the proxy closed the connection' },
  UND_ERR_PRX_TLS: { kind: 'other', text: 'the certificate of the proxy is not valid for its name' },
  DEPTH_ZERO_SELF_SIGNED_CERT: untrusted,
  SELF_SIGNED_CERT_IN_CHAIN: untrusted,
  UNABLE_TO_GET_ISSUER_CERT: untrusted,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: untrusted,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: untrusted,
  CERT_HAS_EXPIRED: { kind: 'expired', text: 'the TLS certificate has expired' },
  CERT_NOT_YET_VALID: {
    kind: 'not-yet-valid',
    text: 'the TLS certificate is not valid yet (is the clock of this host right?)',
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    kind: 'wrong-host',
    text: 'the TLS certificate is for another host name',
  },
  EPROTO: notTls,
};

/** The request went by way of a proxy, which may be what is wrong. */
export class ByProxyError extends Error {
  /** Its address, without a password. */
  readonly proxy: string;

  constructor(proxy: string, cause: unknown) {
    super(messageOf(cause), { cause });
    this.name = 'ByProxyError';
    this.proxy = proxy;
  }
}

/** Says in plain words why a request failed, looking through the causes of the error. */
export function explainNetworkError(error: unknown): NetworkReason {
  const reason = findReason(error);
  const [byProxy] = [...causesOf(error)].filter((each) => each instanceof ByProxyError);
  if (byProxy === undefined) return reason;
  return { ...reason, text: `${reason.text}, by way of the proxy ${byProxy.proxy}` };
}

function findReason(error: unknown): NetworkReason {
  for (const each of causesOf(error)) {
    if (each instanceof DeadlineError) return { kind: 'timeout', text: 'timed out' };
    // undici leaves some errors of its parser without a code.
    if (each instanceof Error && each.name === 'HTTPParserError') return notHttp;
    const code = systemCodeOf(each);
    if (code === undefined) continue;
    if (code.startsWith('ERR_SSL_')) return notTls;
    const reason = reasons[code];
    if (reason !== undefined) return reason;
  }
  return { kind: 'other', text: messageOf(error) };
}

/** The error, its causes and the members of aggregates (one per address tried), outermost first; bounded. */
function causesOf(error: unknown): readonly unknown[] {
  const found: unknown[] = [];
  const queue: unknown[] = [error];
  while (queue.length > 0 && found.length < 20) {
    const next = queue.shift();
    if (!(next instanceof Error)) continue;
    found.push(next);
    if (next instanceof AggregateError) queue.push(...(next.errors as unknown[]));
    queue.push(next.cause);
  }
  return found;
}
