import type { ProfileName } from '../../support/configuration.ts';
import { ConfigurationError } from '../../support/errors.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import type { Credentials } from '../http/message.ts';
import type { Connection } from '../http/connection.ts';
import { readRegistrationScript } from './script.ts';
import { resolveRegistrationUrl } from './resolve.ts';
import { findAgentIpProblem } from '../agent-ip.ts';
import { judgeReportedUrl, type ReportedUrl } from '../transport.ts';
import { apiBaseOf, describeUrl, parseServerUrl, type ServerUrl } from '../url.ts';

/** Everything that registering a host needs to know from the server. */
export interface RegistrationEnvironment {
  /** `CATTLE_URL` for the agent: the API's base. */
  readonly cattleUrl: string;
  /** Registration keys, good for `registerHost` only. */
  readonly accessKey: string;
  readonly secretKey: string;
  /** The host's IPv4 address as the server saw it; undefined when the server saw none an agent can have. */
  readonly detectedAgentIp: string | undefined;
}

export interface RegistrationEnvironmentRequest {
  /** The URL that the person gave, parsed, as this host reaches it. */
  readonly server: ServerUrl;
  readonly profile: ProfileName;
  /** `CATTLE_URL_OVERRIDE`: takes the place of the server's `CATTLE_URL`, whatever that is. */
  readonly urlOverride?: string | undefined;
  readonly credentials?: Credentials | undefined;
  /** Turns a URL of the server's that means this host itself into one that an agent can use; without it they stay as they are. */
  readonly reach?: ((url: string) => string) | undefined;
}

/**
 * From the URL that a person gave to the registration environment: waits for the server, asks it for the URL of the
 * registration script, loads and reads that script, applies `CATTLE_URL_OVERRIDE` (control-plane §2, §3).
 *
 * @throws ConfigurationError for a wrong token, and when the server reports an address that is refused (`judgeReportedUrl`);
 *   ServerUnavailableError; NotPermittedError
 */
export async function loadRegistrationEnvironment(
  connection: Connection,
  request: RegistrationEnvironmentRequest,
): Promise<RegistrationEnvironment> {
  const { secrets, log, client } = connection;
  const { server, reach = (url: string) => url } = request;
  secrets.add(server.token);
  const override = readOverride(request);
  const resolved = await resolveRegistrationUrl(connection, { server, credentials: request.credentials });
  const returned = parseServerUrl(
    reach(resolved.registrationUrl),
    request.profile,
    'the registration URL that the server reports',
  );
  const followed = { hasToken: server.token !== undefined, profile: request.profile };
  follow(connection, { ...followed, asked: [server.href], told: returned.href });
  secrets.add(returned.token);
  const response =
    resolved.response ??
    (await client.request({
      method: 'GET',
      url: returned.href,
      repeat: true,
      maxBytes: fixedLimits.SERVER_SCRIPT,
    }));
  const script = readRegistrationScript(response);
  secrets.add(script.secretKey);
  log.debug('loaded the registration script', { from: describeUrl(returned.href) });
  const told = reach(script.cattleUrl);
  if (override === undefined) {
    follow(connection, { ...followed, asked: [returned.href, server.href], told });
    requireMatchingUrl(returned.href, told);
  }
  return {
    cattleUrl:
      override ??
      parseServerUrl(told, request.profile, 'the CATTLE_URL that the server reports').href.replace(
        /\/+$/,
        '',
      ),
    accessKey: script.accessKey,
    secretKey: script.secretKey,
    detectedAgentIp: readDetectedIp(connection, script.detectedAgentIp),
  };
}

function readOverride({ urlOverride, profile, reach }: RegistrationEnvironmentRequest): string | undefined {
  const text = urlOverride ?? '';
  if (text === '') return undefined;
  return parseServerUrl(reach?.(text) ?? text, profile, 'CATTLE_URL_OVERRIDE').href.replace(/\/+$/, '');
}

/** Goes on to an address that the server reports, or warns, or refuses it. */
function follow({ log }: Connection, reported: ReportedUrl): void {
  const remark = judgeReportedUrl(reported);
  if (remark !== undefined) log.warn(remark);
}

/**
 * Refuses a server that names another API than the registration URL leads to (control-plane §3): the agent would talk
 * to a machine nobody asked for. As upstream, only `/v1` URLs are compared; those of `/v2-beta` name the server's
 * configured `/v1` address, so nothing follows from a difference.
 */
function requireMatchingUrl(registrationUrl: string, cattleUrl: string): void {
  const expected = apiBaseOf(registrationUrl);
  if (!expected.endsWith('/v1') || !URL.canParse(cattleUrl) || apiBaseOf(cattleUrl) === expected) return;
  throw new ConfigurationError(
    `the configured Host Registration URL does not match the given URL: the server calls itself ${describeUrl(cattleUrl)}, given was ${describeUrl(expected)}`,
    {
      hint: 'correct the Host Registration URL in the server (Admin > Settings), or set CATTLE_URL_OVERRIDE to the address the agent shall use',
    },
  );
}

/** The server reports what a proxy sent: IPv6 addresses and lists occur, and no agent can have those. */
function readDetectedIp({ log }: Connection, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const problem = findAgentIpProblem(text);
  if (problem === undefined) return text;
  log.warn(`the address the server saw (${text}) ${problem}; it is left out`);
  return undefined;
}
