import {
  readHttpsRule,
  requireHttpsVariable,
  type Environment,
  type HttpsRule,
  type ProfileName,
} from '../support/configuration.ts';
import { ConfigurationError } from '../support/errors.ts';
import { describeUrl, isSameOrigin } from './url.ts';

/*
 * Who may read and change what goes between this host and its server. The server's script runs as root here, so whoever can
 * change it owns the host.
 */

/** An address that the server reported, and what led to it. */
export interface ReportedUrl {
  /** The address that a person gave, and what the server has reported so far. */
  readonly asked: readonly [string, ...string[]];
  /** What the server reports now. */
  readonly told: string;
  /** Whether the person's URL holds a registration token (`/scripts/TOKEN`). */
  readonly hasToken: boolean;
  readonly profile: ProfileName;
}

/**
 * Judges an address that the server reports (control-plane §1.5, §2.5: it computes them from headers that proxies forget,
 * and from `api.host`). Nothing leads from https to http. A registration URL and PastureStack's agents (§8) lead to no other
 * server; a base URL may, because `api.host` may differ.
 * @returns a sentence to warn with; undefined if the address is as expected
 * @throws ConfigurationError when it is refused
 */
export function judgeReportedUrl({ asked, told, hasToken, profile }: ReportedUrl): string | undefined {
  const [given] = asked;
  if (!URL.canParse(told)) return undefined;
  if (isPlainHttp(told) && asked.some((url) => isHttps(url))) throw turnsIntoHttp(given, told);
  if (isSameOrigin(given, told)) return undefined;
  if (profile === 'pasturestack' || (hasToken && isHttps(given))) throw leadsToAnotherServer(given, told);
  return `the server at ${describeUrl(given)} calls itself ${describeUrl(told)}: the agent will use that address`;
}

function turnsIntoHttp(given: string, told: string): ConfigurationError {
  return new ConfigurationError(
    `the server was asked by https (${describeUrl(given)}) and reports a plain http address, which is refused: ${describeUrl(told)}`,
    {
      hint:
        'the proxy in front of the server must send X-Forwarded-Proto: https, and the Host Registration URL (Admin > Settings) ' +
        'must begin with https://; or register with the https URL of "Add Host" and set CATTLE_URL_OVERRIDE=https://SERVER/v1',
    },
  );
}

function leadsToAnotherServer(given: string, told: string): ConfigurationError {
  return new ConfigurationError(
    `the server reports ${describeUrl(told)}, which is not the server that was asked: ${describeUrl(given)}`,
    {
      hint: 'register with the address that the server calls itself (its setting "Host Registration URL"), or set CATTLE_URL_OVERRIDE',
    },
  );
}

/** Whether a URL is plain http. */
export function isPlainHttp(url: string): boolean {
  return URL.parse(url)?.protocol === 'http:';
}

function isHttps(url: string): boolean {
  return URL.parse(url)?.protocol === 'https:';
}

/** What plain http means, for a warning: in a log, in `status`, and from the doctor. */
export const plainHttpRisk =
  'plain http: anybody on the network between host and server can read the agent keys and change the script that runs as root here';

/** What to do about plain http. */
export const plainHttpHint = `use https (a proxy in front of the server is enough) and register again with the https URL; ${requireHttpsVariable}=false in agent.conf accepts plain http`;

/** The warning about a server that is reached by plain http; undefined for https, or where a person accepts plain http. */
export function remarkOnPlainHttp(url: string, rule: HttpsRule): string | undefined {
  if (!isPlainHttp(url) || rule === 'accepted') return undefined;
  return `${describeUrl(url)} is ${plainHttpRisk}`;
}

/** @throws ConfigurationError for plain http where `AGENT_REQUIRE_HTTPS` is set */
export function requireHttps(url: string, environment: Environment): void {
  if (!isPlainHttp(url) || readHttpsRule(environment) !== 'required') return;
  throw new ConfigurationError(
    `${requireHttpsVariable} is set, and ${describeUrl(url)} is plain http: nothing is sent there`,
    {
      hint: `use the https address of the server (CATTLE_URL in agent.conf, or register again), or remove ${requireHttpsVariable}`,
    },
  );
}
