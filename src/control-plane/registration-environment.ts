import type { ProfileName } from '../support/configuration.ts';
import { ConfigurationError } from '../support/errors.ts';
import type { Credentials } from './client.ts';
import type { Connection } from './connection.ts';
import { readRegistrationScript } from './registration-script.ts';
import { resolveRegistrationUrl } from './resolve.ts';
import { apiBaseOf, describeUrl, findAgentIpProblem, parseServerUrl } from './url.ts';

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
  /** The URL as the person gave it. */
  readonly url: string;
  readonly profile: ProfileName;
  /** `CATTLE_URL_OVERRIDE`: takes the place of the server's `CATTLE_URL`, whatever that is. */
  readonly urlOverride?: string | undefined;
  readonly credentials?: Credentials | undefined;
}

/**
 * From the URL a person gave to the registration environment: checks it, waits for the server, resolves it, loads and
 * reads the registration script, applies `CATTLE_URL_OVERRIDE` (control-plane §2, §3).
 *
 * @throws ConfigurationError for a wrong URL or token, and when the server calls itself otherwise than the URL does;
 *   ServerUnavailableError; NotPermittedError
 */
export async function loadRegistrationEnvironment(
  connection: Connection,
  request: RegistrationEnvironmentRequest,
): Promise<RegistrationEnvironment> {
  const { secrets, log, client } = connection;
  const server = parseServerUrl(request.url, request.profile);
  secrets.add(server.token);
  const override = readOverride(request);
  const resolved = await resolveRegistrationUrl(connection, { server, credentials: request.credentials });
  const registration = parseServerUrl(
    resolved.registrationUrl,
    request.profile,
    'The registration URL that the server tells',
  );
  secrets.add(registration.token);
  const response =
    resolved.response ?? (await client.request({ method: 'GET', url: registration.href, repeat: true }));
  const script = readRegistrationScript(response);
  secrets.add(script.secretKey);
  log.debug('loaded the registration script', { from: describeUrl(registration.href) });
  if (override === undefined) requireMatchingUrl(registration.href, script.cattleUrl);
  return {
    cattleUrl:
      override ??
      parseServerUrl(script.cattleUrl, request.profile, 'The CATTLE_URL that the server tells').href.replace(
        /\/+$/,
        '',
      ),
    accessKey: script.accessKey,
    secretKey: script.secretKey,
    detectedAgentIp: readDetectedIp(connection, script.detectedAgentIp),
  };
}

function readOverride(request: RegistrationEnvironmentRequest): string | undefined {
  const text = request.urlOverride ?? '';
  return text === ''
    ? undefined
    : parseServerUrl(text, request.profile, 'CATTLE_URL_OVERRIDE').href.replace(/\/+$/, '');
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
    `Configured Host Registration URL does not match given URL: the server calls itself ${describeUrl(cattleUrl)}, given was ${describeUrl(expected)}`,
    {
      hint: 'Correct the Host Registration URL in the server (Admin > Settings), or set CATTLE_URL_OVERRIDE to the address the agent shall use.',
    },
  );
}

/** The server reports what a proxy told it: IPv6 addresses and lists occur, and no agent can have those. */
function readDetectedIp({ log }: Connection, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const problem = findAgentIpProblem(text);
  if (problem === undefined) return text;
  log.warn(`The address the server saw (${text}) ${problem}; it is left out`);
  return undefined;
}
