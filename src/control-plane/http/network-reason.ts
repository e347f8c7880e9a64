import { DeadlineError } from '../../support/deadline.ts';
import { messageOf, ServerUnavailableError, systemCodeOf } from '../../support/errors.ts';

/** What kept a request from being answered; programs decide by `kind`, people read `text`. */
export interface NetworkReason {
  readonly kind:
    | 'name'
    | 'unreachable'
    | 'timeout'
    | 'broken'
    | 'proxy'
    | 'untrusted'
    | 'expired'
    | 'not-yet-valid'
    | 'wrong-host'
    | 'too-weak'
    | 'not-tls'
    | 'other';
  readonly text: string;
}

/**
 * What is wrong with the certificate or the cryptography of the server, if that is it: no waiting helps. A certificate
 * that is not valid yet becomes so, mostly by this host's clock being set.
 */
export function isCertificateProblem({ kind }: NetworkReason): boolean {
  return kind === 'untrusted' || kind === 'expired' || kind === 'wrong-host' || kind === 'too-weak';
}

/** Whether the same request may succeed a moment later. */
export function isTransientReason({ kind }: NetworkReason): boolean {
  return kind === 'name' || kind === 'unreachable' || kind === 'timeout' || kind === 'broken';
}

const untrusted: NetworkReason = {
  kind: 'untrusted',
  text: 'the TLS certificate is signed by an unknown authority',
};

const notTls: NetworkReason = {
  kind: 'not-tls',
  text: 'TLS handshake failed (does the server speak https on this port?)',
};

function tooWeak(text: string): NetworkReason {
  return { kind: 'too-weak', text };
}

const oldProtocol = tooWeak('the server speaks only a version of TLS that is too old (before TLS 1.2)');
const weakKey = tooWeak("a key in the server's certificates is too short");
const weakSignature = tooWeak("one of the server's certificates is signed with a method that is too weak");
const weakDiffieHellman = tooWeak("the server's Diffie-Hellman key is too short");
const noSafeRenegotiation = tooWeak('the server does not know secure renegotiation (RFC 5746)');

const notHttp: NetworkReason = { kind: 'broken', text: 'the answer is not valid HTTP or was cut off' };

const reasons: Readonly<Record<string, NetworkReason>> = {
  ECONNREFUSED: { kind: 'unreachable', text: 'connection refused' },
  ENOTFOUND: { kind: 'name', text: 'name not found' },
  EAI_AGAIN: { kind: 'name', text: 'name could not be looked up: the name server does not answer' },
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
  UND_ERR_ABORTED: { kind: 'proxy', text: 'the proxy refused the connection' },
  UND_ERR_PRX_CONN: { kind: 'proxy', text: 'the proxy closed the connection' },
  UND_ERR_PRX_TLS: { kind: 'proxy', text: 'the certificate of the proxy is not valid for its name' },
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
  ERR_SSL_UNSUPPORTED_PROTOCOL: oldProtocol,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: oldProtocol,
  ERR_SSL_DH_KEY_TOO_SMALL: weakDiffieHellman,
  ERR_TLS_DH_PARAM_SIZE: weakDiffieHellman,
  ERR_SSL_EE_KEY_TOO_SMALL: weakKey,
  ERR_SSL_CA_KEY_TOO_SMALL: weakKey,
  ERR_SSL_CA_MD_TOO_WEAK: weakSignature,
  ERR_SSL_WRONG_SIGNATURE_TYPE: weakSignature,
  ERR_SSL_LEGACY_SIGALG_DISALLOWED_OR_UNSUPPORTED: weakSignature,
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: weakSignature,
  ERR_SSL_UNSAFE_LEGACY_RENEGOTIATION_DISABLED: noSafeRenegotiation,
};

/** OpenSSL's words for what fails the security level of certificates: Node gives all of them one code, UNSPECIFIED. */
const securityLevelTexts: readonly (readonly [RegExp, NetworkReason])[] = [
  [/certificate key too weak/i, weakKey],
  [/signature digest algorithm too weak|md too weak/i, weakSignature],
  [/unsupported signature algorithm/i, weakSignature],
];

/** How far a request came before it failed. */
export class ExchangeError extends Error {
  /** Address of the proxy on the way, without a password. */
  readonly proxy: string | undefined;
  /** Whether the connection stood and the request went out: what fails after that is no fault of the way. */
  readonly sent: boolean;

  constructor(way: { readonly proxy?: string | undefined; readonly sent: boolean }, cause: unknown) {
    super(messageOf(cause), { cause });
    this.name = 'ExchangeError';
    this.proxy = way.proxy;
    this.sent = way.sent;
  }
}

/** What a look at the server found to be too weak, in words that name it. */
export class WeakTlsError extends Error {
  constructor(text: string, cause: unknown) {
    super(text, { cause });
    this.name = 'WeakTlsError';
  }
}

/** How to go on although the server's cryptography is too weak. */
export const weakTlsHint =
  'renew the certificate (RSA 2048 bits, SHA-256) or the TLS setting of the server; until then AGENT_TLS_MIN=legacy accepts it';

/** A redirect that is not followed. */
export class RedirectError extends ServerUnavailableError {}

/** One to another server, where keys do not belong: no waiting helps. */
export class RedirectElsewhereError extends RedirectError {}

/** An answer that is longer than any of the server's. */
export class AnswerTooLongError extends ServerUnavailableError {}

/** Says in plain words why a request failed, looking through the causes of the error. */
export function explainNetworkError(error: unknown): NetworkReason {
  const reason = findReason(error);
  const proxy = findExchange(error)?.proxy;
  return proxy === undefined ? reason : { ...reason, text: `${reason.text}, by way of the proxy ${proxy}` };
}

/** How far the request came that an error is about, if that is known. */
export function findExchange(error: unknown): ExchangeError | undefined {
  return causesOf(error).find((each) => each instanceof ExchangeError);
}

function findReason(error: unknown): NetworkReason {
  for (const each of causesOf(error)) {
    if (each instanceof DeadlineError) return { kind: 'timeout', text: 'timed out' };
    if (each instanceof WeakTlsError) return tooWeak(each.message);
    // undici leaves some errors of its parser without a code.
    if (each instanceof Error && each.name === 'HTTPParserError') return notHttp;
    const code = systemCodeOf(each);
    if (code === undefined) continue;
    const reason = reasons[code] ?? findSecurityLevel(each);
    if (reason !== undefined) return reason;
    // EBUSY and others, where the image's own configuration breaks the look-up.
    if (isLookUp(each)) return { kind: 'name', text: `name could not be looked up (${code})` };
    if (isHandshakeFailure(code)) return handshakeRefused;
    if (code.startsWith('ERR_SSL_')) return notTls;
    if (isProxyRefusal(code, each)) return proxyRefused;
  }
  return { kind: 'other', text: messageOf(error) };
}

function isLookUp(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && error.syscall === 'getaddrinfo';
}

/** The server's alert when it has no cipher, group or signature in common with us, or misses a client certificate. */
const handshakeRefused: NetworkReason = {
  kind: 'not-tls',
  text: 'the server refuses the TLS handshake (no common cipher, or it asks for a client certificate)',
};

/** With the names of OpenSSL 3.5 and of those before. */
function isHandshakeFailure(code: string): boolean {
  return /ALERT_HANDSHAKE_FAILURE$|ALERT_INSUFFICIENT_SECURITY$/.test(code);
}

/** Whether a probe of the server's TLS may show more: what is too weak, in figures. */
export function asksForView(reason: NetworkReason): boolean {
  return reason.kind === 'too-weak' || reason === handshakeRefused;
}

const proxyRefused: NetworkReason = { kind: 'proxy', text: 'the proxy refused the connection' };

/** undici's words: it gives these errors no code of their own. */
function isProxyRefusal(code: string, error: unknown): boolean {
  return (
    code.startsWith('UND_ERR_SOCKS5') ||
    (code === 'UND_ERR_INVALID_ARG' && /proxy auth/i.test(messageOf(error)))
  );
}

function findSecurityLevel(error: unknown): NetworkReason | undefined {
  const message = messageOf(error);
  return securityLevelTexts.find(([words]) => words.test(message))?.[1];
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
