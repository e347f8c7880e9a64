import type { Clock } from '../../support/clock.ts';
import type { Environment } from '../../support/configuration.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Log } from '../../support/log.ts';
import type { Secrets } from '../../support/secrets.ts';

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
