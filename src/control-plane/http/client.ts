import type { SecureContext } from 'node:tls';
import { Agent, ProxyAgent, Socks5ProxyAgent, type Dispatcher } from 'undici';
import type { Clock } from '../../support/clock.ts';
import { readTlsFloor, type Environment } from '../../support/configuration.ts';
import { deadlineIn, withDeadline } from '../../support/deadline.ts';
import { EntrypointError, ServerUnavailableError } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Log } from '../../support/log.ts';
import { jittered, retry } from '../../support/retry.ts';
import type { Secrets } from '../../support/secrets.ts';
import {
  AnswerTooLongError,
  asksForView,
  ExchangeError,
  explainNetworkError,
  isTransientReason,
  RedirectElsewhereError,
  RedirectError,
  WeakTlsError,
  weakTlsHint,
} from './network-reason.ts';
import { chooseProxy, describeProxy, readProxyPasswords } from './proxy.ts';
import { createTrustContext } from './tls-floor.ts';
import { describeWeakness, viewTls } from './tls-view.ts';
import { requireHttps } from '../transport.ts';
import { describeUrl, isSameOrigin } from '../url.ts';

/** Access key and secret key of an agent, an account, or a registration. */
export interface Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
}

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly url: string;
  readonly credentials?: Credentials | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Everything, redirects and repeats included, in ms; `HTTP_TOTAL` when not given. */
  readonly deadlineMs?: number;
  /** A longer answer is an error; at most `HTTP_BODY`. */
  readonly maxBytes?: number;
  /**
   * Repeat after a lost connection or a 429/500/502/503/504, up to `HTTP_TRIES` tries, or as long as `deadlineMs`
   * allows, at most `SERVER_TRIES`. Only for what may happen twice.
   */
  readonly repeat?: boolean | 'until-deadline';
}

export interface HttpResponse {
  readonly status: number;
  /** By lower-case name; of several of a name, the first. */
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
  /** Where the answer came from, after redirects within the server. */
  readonly url: string;
}

/** Whose certificates are accepted besides those of the well-known authorities and of the system. */
export interface Trust {
  /** Certificates in PEM. */
  readonly ca: readonly string[];
  /** Accept any certificate: only for fetching a certificate that is then compared with a fingerprint. */
  readonly unverified?: boolean;
  /**
   * Reads the certificates of the host again: called when the server's is not trusted, so that a replaced `ca.crt`
   * counts at once. Undefined: there are none, or they cannot be read.
   */
  readonly reread?: () => Promise<string | undefined>;
}

export interface HttpClient {
  /**
   * One exchange with the server. An answer of any status is an answer.
   * @throws ServerUnavailableError when there is none, it comes too late, is cut off or too long, or leads elsewhere;
   *   ConfigurationError for a proxy that cannot be used, and for plain http with `AGENT_REQUIRE_HTTPS`; the signal's
   *   reason when aborted
   */
  request(request: HttpRequest): Promise<HttpResponse>;
}

export interface HttpClientOptions {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly log: Log;
  readonly secrets: Secrets;
  /** Read for the proxy variables, `AGENT_TLS_MIN`, `AGENT_TLS_TRUST` and `AGENT_REQUIRE_HTTPS` only. */
  readonly environment: Environment;
  readonly trust?: Trust | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What to do when the server does not answer, or not as a server does. */
export const checkTheWay =
  'check the address, the name server, firewalls and proxies between this host and the server';

/** No `mozilla` in it: the server would answer with its user interface (control-plane §1.6). */
const userAgent = 'rancher-agent-entrypoint';

/** 500 as well: Cattle answers with it while its database is away. */
const transientStatuses = new Set([429, 500, 502, 503, 504]);

/** An HTTP client whose every wait has a deadline: see `HttpClient.request`. */
export function createHttpClient(options: HttpClientOptions): HttpClient {
  options.secrets.add(...readProxyPasswords(options.environment));
  const trusted = new TrustedCertificates(options);
  const exchange = async (request: HttpRequest): Promise<HttpResponse> => {
    try {
      return await exchangeWithin(request, options, trusted);
    } catch (error) {
      if (!isUntrusted(error) || !(await trusted.reread())) throw error;
      return await exchangeWithin(request, options, trusted);
    }
  };
  return {
    request: async (request) => {
      addCredentials(options.secrets, request.credentials);
      return request.repeat === undefined || request.repeat === false
        ? await exchange(request)
        : await repeatExchange(request, options, exchange);
    },
  };
}

/** A transient status on the way through `retry`, which knows errors only. */
class TransientAnswer extends Error {
  readonly response: HttpResponse;

  constructor(request: HttpRequest, response: HttpResponse) {
    super(`${request.method} ${describeUrl(request.url)}: status ${response.status}`);
    this.response = response;
  }
}

async function repeatExchange(
  request: HttpRequest,
  options: HttpClientOptions,
  exchange: (request: HttpRequest) => Promise<HttpResponse>,
): Promise<HttpResponse> {
  const { limits, clock, log, signal } = options;
  const total = request.deadlineMs ?? limits.HTTP_TOTAL;
  const deadline = deadlineIn(total, clock);
  const pauseOf = jittered(limits.HTTP_RETRY_PAUSE_MIN, limits.HTTP_RETRY_PAUSE_MAX, () => clock.random());
  try {
    return await retry(
      {
        what: `${request.method} ${describeUrl(request.url)}`,
        tries: request.repeat === 'until-deadline' ? limits.SERVER_TRIES : limits.HTTP_TRIES,
        total,
        pause: (tries, error) => {
          const asked =
            error instanceof TransientAnswer ? readRetryAfter(error.response, clock.now()) : undefined;
          const own = pauseOf(tries);
          return asked === undefined ? own : spread(Math.max(asked, own), limits, clock);
        },
        worthRetrying: (error) =>
          deadline.left() > 0 && (error instanceof TransientAnswer || isTransientFailure(error)),
        clock,
        log,
        ...(signal === undefined ? {} : { signal }),
      },
      async () => {
        const deadlineMs = Math.min(limits.HTTP_TOTAL, deadline.left());
        const response = await exchange({ ...request, deadlineMs });
        if (transientStatuses.has(response.status)) throw new TransientAnswer(request, response);
        return response;
      },
    );
  } catch (error) {
    if (error instanceof TransientAnswer) return error.response;
    throw error;
  }
}

/** A pause that a server asks for: all of its hosts get the same, so up to a quarter is added by chance. */
function spread(asked: number, limits: Limits, clock: Clock): number {
  const pause = Math.min(limits.HTTP_RETRY_PAUSE_MAX, Math.max(limits.HTTP_RETRY_PAUSE_MIN, asked));
  return Math.round(pause + (clock.random() * pause) / 4);
}

function isTransientFailure(error: Error): boolean {
  if (!(error instanceof ServerUnavailableError)) return false;
  return isTransientReason(explainNetworkError(error.cause));
}

/**
 * `Retry-After` in ms from now: seconds or an HTTP date (RFC 9110 §10.2.3), which counts from the answer's own `Date`,
 * because the clock of this host may be wrong; undefined when absent or unreadable.
 */
export function readRetryAfter(response: Pick<HttpResponse, 'headers'>, now: number): number | undefined {
  const text = response.headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = /^[A-Za-z]{3},/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(date)) return undefined;
  const sentAt = Date.parse(response.headers['date'] ?? '');
  return Math.max(0, date - (Number.isNaN(sentAt) ? now : sentAt));
}

/** How far the last request of an exchange came. */
interface Way {
  /** Address of the proxy, without a password. */
  proxy?: string | undefined;
  /** The connection stands, and the request goes out. */
  sent: boolean;
}

/** What each hop of an exchange needs. */
interface Exchange extends HttpClientOptions {
  readonly trusted: TrustedCertificates;
  readonly way: Way;
  readonly signal: AbortSignal;
}

async function exchangeWithin(
  request: HttpRequest,
  options: HttpClientOptions,
  trusted: TrustedCertificates,
): Promise<HttpResponse> {
  const what = `${request.method} ${describeUrl(request.url)}`;
  const way: Way = { sent: false };
  try {
    return await withDeadline(
      what,
      request.deadlineMs ?? options.limits.HTTP_TOTAL,
      async (signal) => await followRedirects(request, { ...options, trusted, way, signal }),
      options.signal,
    );
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof EntrypointError) throw error;
    const cause = new ExchangeError(way, await nameWeakness(error, request, options));
    const reason = explainNetworkError(cause);
    throw new ServerUnavailableError(`${what}: ${reason.text}`, {
      cause,
      hint: reason.kind === 'too-weak' ? weakTlsHint : checkTheWay,
    });
  }
}

async function followRedirects(request: HttpRequest, exchange: Exchange): Promise<HttpResponse> {
  let current = request;
  for (let hop = 0; hop <= exchange.limits.HTTP_REDIRECTS; hop++) {
    const response = await exchangeOnce(current, exchange);
    const target = readRedirect(current, response);
    if (target === undefined) return response;
    if (!isSameOrigin(current.url, target)) throw leadsElsewhere(request, target);
    current = { ...current, url: target };
  }
  throw new RedirectError(`${request.method} ${describeUrl(request.url)}: redirected in a circle`, {
    hint: checkTheWay,
  });
}

/**
 * Keys and tokens are sent along, so a redirect to another server is never followed, nor one from http to https or
 * back: anybody on the network may answer for plain http.
 */
function leadsElsewhere(request: HttpRequest, target: string): RedirectElsewhereError {
  const [from, to] = [new URL(request.url), new URL(target)];
  const isDowngrade = from.protocol === 'https:' && to.protocol === 'http:';
  const isUpgrade = from.protocol === 'http:' && to.protocol === 'https:' && from.hostname === to.hostname;
  return new RedirectElsewhereError(
    `${request.method} ${describeUrl(request.url)}: the server redirects to ${describeUrl(target)}, which is not the server that was asked`,
    {
      hint: isDowngrade
        ? 'keys never go from https to http: the proxy in front of the server must send X-Forwarded-Proto: https, or set CATTLE_URL_OVERRIDE'
        : isUpgrade
          ? `the server wants https: use ${to.origin} in the URL given to the agent, and as "Host Registration URL" in the server`
          : 'if that is the right server, use its address in the URL given to the agent',
    },
  );
}

function readRedirect(request: HttpRequest, response: HttpResponse): string | undefined {
  const location = response.headers['location'];
  if (location === undefined || ![301, 302, 303, 307, 308].includes(response.status)) return undefined;
  // A write is not repeated somewhere else: the caller sees the status and decides.
  if (request.method !== 'GET') return undefined;
  return URL.parse(location, request.url)?.href;
}

async function exchangeOnce(request: HttpRequest, exchange: Exchange): Promise<HttpResponse> {
  const { way, limits, signal } = exchange;
  const url = new URL(request.url);
  requireHttps(request.url, exchange.environment);
  way.sent = false;
  const proxy = chooseProxy(url, exchange.environment);
  way.proxy = proxy === undefined ? undefined : describeProxy(proxy);
  const dispatcher = createDispatcher(url, exchange);
  try {
    const { statusCode, headers, body } = await dispatcher.compose(noteSending(way)).request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: request.method,
      headers: createHeaders(request),
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
      signal,
    });
    const text = await readBounded(
      body,
      Math.min(limits.HTTP_BODY, request.maxBytes ?? limits.HTTP_BODY),
      request,
    );
    return { status: statusCode, headers: firstOfEach(headers), text, url: request.url };
  } finally {
    // Not awaited: a socket that does not close must not hold up the answer.
    dispatcher.destroy().catch(() => undefined);
  }
}

/** Notes when a request begins to be sent: undici says so to the handler of the answer, once the connection stands. */
function noteSending(way: Way): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const begin = handler.onRequestStart?.bind(handler);
    handler.onRequestStart = (controller, context) => {
      way.sent = true;
      begin?.(controller, context);
    };
    return dispatch(options, handler);
  };
}

function createHeaders(request: HttpRequest): Record<string, string> {
  const { credentials } = request;
  return {
    accept: 'application/json',
    'user-agent': userAgent,
    ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
    ...(credentials === undefined ? {} : { authorization: basicAuthorization(credentials) }),
    ...request.headers,
  };
}

function basicAuthorization({ accessKey, secretKey }: Credentials): string {
  return `Basic ${Buffer.from(`${accessKey}:${secretKey}`).toString('base64')}`;
}

/** The pair as it stands in the header is a secret as well. */
function addCredentials(secrets: Secrets, credentials: Credentials | undefined): void {
  if (credentials === undefined) return;
  secrets.add(credentials.secretKey, `${credentials.accessKey}:${credentials.secretKey}`);
}

/** One for each exchange: no idle connection is left to break under a later request or to keep the process alive. */
function createDispatcher(url: URL, { limits, environment, trust, trusted }: Exchange): Dispatcher {
  const proxy = chooseProxy(url, environment);
  const encrypted = url.protocol === 'https:' || proxy?.protocol === 'https:';
  const tlsOfProxy = {
    timeout: limits.HTTP_CONNECT,
    allowH2: false,
    ...(encrypted ? { secureContext: trusted.context() } : {}),
    // Always said: Node's default follows NODE_TLS_REJECT_UNAUTHORIZED, which a base image or a person may have set.
    rejectUnauthorized: true,
  };
  // The proxy gets its password in any case, so it is never unverified.
  const tls = { ...tlsOfProxy, rejectUnauthorized: trust?.unverified !== true };
  // The deadline of the whole exchange rules: undici's own timers are switched off.
  const timeouts = { headersTimeout: 0, bodyTimeout: 0 };
  if (proxy === undefined) return new Agent({ ...timeouts, connect: tls });
  if (proxy.protocol === 'socks5:') {
    // Without `proxyTls`, which would make TLS of the way to the proxy itself.
    return new Socks5ProxyAgent(proxy, { ...timeouts, connectTimeout: limits.HTTP_CONNECT, requestTls: tls });
  }
  return new ProxyAgent({ ...timeouts, uri: proxy.href, requestTls: tls, proxyTls: tlsOfProxy });
}

/** What is trusted, which may change on the host while a client lives. */
class TrustedCertificates {
  private readonly options: HttpClientOptions;
  private created: SecureContext | undefined;
  private ca: readonly string[];

  constructor(options: HttpClientOptions) {
    this.options = options;
    this.ca = options.trust?.ca ?? [];
  }

  /** Created when it is first needed: plain http needs none. */
  context(): SecureContext {
    return (this.created ??= createTrustContext(this.ca, this.options.environment));
  }

  /** Reads them again. @returns whether they are others now */
  async reread(): Promise<boolean> {
    const found = await this.options.trust?.reread?.();
    if (found === undefined || this.ca.includes(found)) return false;
    this.ca = [found];
    this.created = undefined;
    return true;
  }
}

function isUntrusted(error: unknown): boolean {
  return error instanceof ServerUnavailableError && explainNetworkError(error.cause).kind === 'untrusted';
}

/** The error with words for what is too weak, if that is what the server failed of; no request is sent for it. */
async function nameWeakness(
  error: unknown,
  request: HttpRequest,
  { environment, limits, trust, signal }: HttpClientOptions,
): Promise<unknown> {
  if (!asksForView(explainNetworkError(error)) || readTlsFloor(environment) === 'legacy') return error;
  try {
    const view = await viewTls(new URL(request.url), { environment, limits, ca: trust?.ca ?? [], signal });
    const text = describeWeakness(view);
    return text === undefined ? error : new WeakTlsError(text, error);
  } catch {
    // The words of the failure itself have to do.
    signal?.throwIfAborted();
    return error;
  }
}

async function readBounded(
  body: AsyncIterable<Uint8Array>,
  most: number,
  request: HttpRequest,
): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.byteLength;
    if (length > most) {
      throw new AnswerTooLongError(
        `${request.method} ${describeUrl(request.url)}: the answer is longer than ${most} bytes`,
        { hint: checkTheWay },
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function firstOfEach(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => {
      const first = Array.isArray(value) ? value[0] : value;
      return first === undefined ? [] : [[name.toLowerCase(), first]];
    }),
  );
}
