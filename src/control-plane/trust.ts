import { tlsTrustVariable, type TlsTrust } from '../support/configuration.ts';
import { deadlineIn } from '../support/deadline.ts';
import { ConfigurationError, ServerUnavailableError } from '../support/errors.ts';
import {
  fingerprintOf,
  hasFingerprint,
  parseFingerprint,
  readCertificates,
  readFirstCertificate,
  type Fingerprint,
} from './certificates.ts';
import type { HttpClient, Trust } from './http/message.ts';
import type { Connection } from './http/connection.ts';
import {
  explainNetworkError,
  isCertificateProblem,
  weakTlsHint,
  type NetworkReason,
} from './http/network-reason.ts';
import { apiBaseOf, describeUrl, joinUrl } from './url.ts';
import { createUnreachableError } from './registration/wait.ts';
import { installTrust, readCaFile, type TrustFiles, type TrustInstallation } from './trust-store.ts';

export interface TrustRequest extends TrustInstallation {
  /** The URL a person gave. */
  readonly url: string;
  /** `CA_FINGERPRINT`. */
  readonly fingerprint: string | undefined;
  /** Makes a client with the given trust: certificates are tried before they are installed. */
  readonly createClient: (trust: Trust) => HttpClient;
  /** With `ca.crt` nobody else is trusted (`AGENT_TLS_TRUST`). */
  readonly trusts: TlsTrust;
}

type TrustConnection = Pick<Connection, 'limits' | 'clock' | 'log' | 'signal'>;

/**
 * Finds the certificates to trust besides the well-known ones (contract §5, control-plane §5.5). `ca.crt` on the host
 * is trusted if it is there. Else, if a fingerprint is given and the https server is not trusted,
 * `<server>/scripts/ca.crt` is fetched without verification, and its first certificate kept only if it has the
 * fingerprint: the others in the file are not covered by it.
 *
 * A server that a well-known authority vouches for is trusted without a look at the fingerprint, unless only `ca.crt` counts:
 * then the certificate is fetched and compared in any case, and trusted alone.
 *
 * @returns the trust for all further requests
 * @throws ConfigurationError when the file or the fingerprint is unusable, the server's certificate has another fingerprint or
 *   is not offered, or only `ca.crt` counts and there is neither that file nor a fingerprint; ServerUnavailableError when the certificate does not help (expired, other name)
 */
export async function establishTrust(connection: TrustConnection, request: TrustRequest): Promise<Trust> {
  const kept = await readCaFile(request.files.caFile, {
    onUnsafe: ({ message, hint = '' }) => {
      connection.log.warn(`the certificates of this host are not trusted: ${message}`, { hint });
    },
  });
  const fingerprint = parseFingerprint(request.fingerprint ?? '');
  if (kept !== undefined) {
    if (request.trusts === 'ca.crt' && fingerprint !== undefined)
      requireFingerprint(kept, fingerprint, request.files);
    await installTrust(connection.log, request, kept);
    return { ca: [kept] };
  }
  if (!request.url.toLowerCase().startsWith('https:')) return { ca: [] };
  if (fingerprint === undefined) {
    if (request.trusts === 'ca.crt') throw nobodyToTrust(request.files);
    return { ca: [] };
  }
  const reason = await probeTrust(connection, request.createClient({ ca: [] }), request.url);
  if (reason === undefined) return { ca: [] };
  if (reason.kind !== 'untrusted') throw cannotBeTrusted(request.url, reason);
  const ca = await fetchCertificate(request, fingerprint);
  const left = await probeTrust(connection, request.createClient({ ca: [ca] }), request.url);
  if (left !== undefined) throw cannotBeTrusted(request.url, left);
  await installTrust(connection.log, request, ca);
  connection.log.info(
    'the certificate of the server has the expected fingerprint and is trusted from now on',
  );
  return { ca: [ca] };
}

/**
 * Asks the server until the TLS handshake has an outcome, because a server that is down says nothing about trust.
 * @returns undefined when it is trusted, else what is wrong with its certificate
 * @throws ServerUnavailableError when the server does not answer within the limits of `waitForServer`: the caller need
 *   not wait once more
 */
async function probeTrust(
  { limits, clock, log, signal }: TrustConnection,
  client: HttpClient,
  url: string,
): Promise<NetworkReason | undefined> {
  const deadline = deadlineIn(limits.SERVER_TOTAL, clock);
  let reported = '';
  for (let tries = 1; tries <= limits.SERVER_TRIES && deadline.left() > 0; tries++) {
    const reason = await tryHandshake(client, url);
    if (reason === undefined || isCertificateProblem(reason)) return reason;
    if (reason.text !== reported)
      log.warn(`${describeUrl(url)} is not accessible (${reason.text}); waiting for it`);
    reported = reason.text;
    await clock.sleep(Math.min(limits.SERVER_PAUSE, deadline.left()), signal);
  }
  throw createUnreachableError(url, reported);
}

async function tryHandshake(client: HttpClient, url: string): Promise<NetworkReason | undefined> {
  try {
    await client.request({ method: 'GET', url });
    return undefined;
  } catch (error) {
    if (!(error instanceof ServerUnavailableError)) throw error;
    // Without a cause it is our own judgement of an answer (a redirect elsewhere, too long): the handshake succeeded.
    return error.cause === undefined ? undefined : explainNetworkError(error.cause);
  }
}

async function fetchCertificate(request: TrustRequest, fingerprint: Fingerprint): Promise<string> {
  const url = certificateUrl(request.url);
  const client = request.createClient({ ca: [], unverified: true });
  const response = await client.request({ method: 'GET', url, repeat: true });
  if (response.status !== 200) {
    throw new ConfigurationError(
      `the certificate of the server is not trusted, and ${describeUrl(url)} does not offer it (status ${response.status})`,
      {
        hint: `Rancher 1.6 does not serve its certificate: put it into ${request.files.caFile} on the host instead`,
      },
    );
  }
  const certificate = readFirstCertificate(response.text);
  if (certificate === undefined) {
    throw new ConfigurationError(`${describeUrl(url)} does not answer with a certificate`);
  }
  if (!hasFingerprint(certificate, fingerprint)) {
    throw new ConfigurationError(
      `the certificate at ${describeUrl(url)} has another fingerprint than CA_FINGERPRINT: ${fingerprintOf(certificate, fingerprint)}`,
      {
        hint: 'CA_FINGERPRINT is outdated, or somebody answers in the place of the server: compare it with the certificate on the server itself',
      },
    );
  }
  return certificate.toString();
}

/** Only `ca.crt` counts, and a person also gave a fingerprint: one of them is outdated. @throws ConfigurationError */
function requireFingerprint(kept: string, fingerprint: Fingerprint, { caFile }: TrustFiles): void {
  if (readCertificates(kept).some((certificate) => hasFingerprint(certificate, fingerprint))) return;
  throw new ConfigurationError(
    `no certificate in ${caFile} has the fingerprint in CA_FINGERPRINT, and ${tlsTrustVariable}=ca.crt trusts nothing else`,
    {
      hint: `correct CA_FINGERPRINT, or remove ${caFile}: the certificate is then fetched from the server again`,
    },
  );
}

function nobodyToTrust({ caFile }: TrustFiles): ConfigurationError {
  return new ConfigurationError(
    `${tlsTrustVariable}=ca.crt trusts ${caFile} or CA_FINGERPRINT alone, and there is neither`,
    {
      hint: `put the certificate of the server's authority into ${caFile} on the host, or give CA_FINGERPRINT as "Add Host" shows it`,
    },
  );
}

/** `<url up to the version>/scripts/ca.crt`, as `print_url $1` of the legacy entrypoint prints it. */
function certificateUrl(url: string): string {
  return joinUrl(apiBaseOf(url), 'scripts/ca.crt');
}

function cannotBeTrusted(url: string, reason: NetworkReason): ServerUnavailableError {
  return new ServerUnavailableError(`${describeUrl(url)}: ${reason.text}`, {
    hint:
      reason.kind === 'untrusted'
        ? 'the server uses a certificate that is neither the one with CA_FINGERPRINT nor signed by it'
        : reason.kind === 'too-weak'
          ? weakTlsHint
          : 'no fingerprint helps here: the certificate of the server must be renewed, or issued for this name',
  });
}
