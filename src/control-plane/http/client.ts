import type { Dispatcher } from 'undici';
import { readTlsFloor } from '../../support/configuration.ts';
import { withDeadline } from '../../support/deadline.ts';
import { EntrypointError, ServerUnavailableError } from '../../support/errors.ts';
import type { Secrets } from '../../support/secrets.ts';
import { createDispatcher, TrustedCertificates } from './dispatcher.ts';
import {
  checkTheWay,
  type Credentials,
  type HttpClient,
  type HttpClientOptions,
  type HttpRequest,
  type HttpResponse,
} from './message.ts';
import {
  AnswerTooLongError,
  asksForView,
  ExchangeError,
  explainNetworkError,
  RedirectError,
  WeakTlsError,
  weakTlsHint,
} from './network-reason.ts';
import { chooseProxy, describeProxy, readProxyPasswords } from './proxy.ts';
import { leadsElsewhere, readRedirect } from './redirect.ts';
import { repeatExchange } from './repeat.ts';
import { describeWeakness, viewTls } from './tls-view.ts';
import { requireHttps } from '../transport.ts';
import { describeUrl, isSameOrigin } from '../url.ts';

/** No `mozilla` in it: the server would answer with its user interface (control-plane §1.6). */
const userAgent = 'rancher-agent-entrypoint';

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
