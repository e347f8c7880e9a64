import { X509Certificate } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { HostFolderUnsafeError } from '../host/errors.ts';
import { readSmallFile, type ReadOptions } from '../host/files/read.ts';
import { readOwnFile } from '../host/files/safe-folder.ts';
import { tlsTrustVariable, type TlsTrust } from '../support/configuration.ts';
import { deadlineIn } from '../support/deadline.ts';
import { ConfigurationError, ServerUnavailableError, messageOf, systemCodeOf } from '../support/errors.ts';
import { addToAgentConf, writeWithFolder } from './agent-conf.ts';
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

/** Where certificates and their settings are kept (contract §5). */
export interface TrustFiles {
  /** `/var/lib/rancher/etc/ssl/ca.crt`. */
  readonly caFile: string;
  /** `/var/lib/rancher/etc/agent.conf`. */
  readonly agentConf: string;
  /** `/usr/local/share/ca-certificates/rancher/rancherAddedCA.crt`, from which the system's store is built. */
  readonly systemCaFile: string;
}

export interface TrustRequest {
  /** The URL a person gave. */
  readonly url: string;
  /** `CA_FINGERPRINT`. */
  readonly fingerprint: string | undefined;
  readonly files: TrustFiles;
  /** Makes a client with the given trust: certificates are tried before they are installed. */
  readonly createClient: (trust: Trust) => HttpClient;
  /**
   * Runs `update-ca-certificates`; what it throws is logged, because our own client does not need it. Not given where
   * nothing but our own client runs.
   */
  readonly refreshSystemStore?: (() => Promise<void>) | undefined;
  /** With `ca.crt` nobody else is trusted (`AGENT_TLS_TRUST`). */
  readonly trusts: TlsTrust;
  /** Nothing is written, neither on the host nor here: on standby another agent still uses these files. */
  readonly readOnly?: boolean | undefined;
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
    await install(connection, request, kept);
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
  await install(connection, request, ca);
  connection.log.info(
    'the certificate of the server has the expected fingerprint and is trusted from now on',
  );
  return { ca: [ca] };
}

/** The trust that an agent of this host has, without asking anybody or writing anything. @throws ConfigurationError */
export async function readKeptTrust(caFile: string): Promise<Trust> {
  const kept = await readCaFile(caFile);
  return { ca: kept === undefined ? [] : [kept] };
}

/**
 * The certificates on the host now, for clients that live long; undefined without any that can be read.
 * @param deadlineMs a request waits for it, so a disk that does not answer must not keep it long
 */
export async function rereadCaFile(caFile: string, deadlineMs: number): Promise<string | undefined> {
  try {
    return await readCaFile(caFile, { deadlineMs });
  } catch {
    return undefined;
  }
}

/** What `CA_FINGERPRINT` says: lower-case hexadecimal digits. */
interface Fingerprint {
  readonly algorithm: 'SHA-1' | 'SHA-256';
  readonly digits: string;
}

/**
 * Reads `CA_FINGERPRINT` as openssl prints it (`AA:BB:…`). Lower case and missing colons mean the same digits and are
 * accepted; 64 digits are a SHA-256 fingerprint, which upstream does not know.
 *
 * @returns the algorithm and lower-case digits, or undefined for an empty text
 * @throws ConfigurationError for anything else
 */
export function parseFingerprint(text: string): Fingerprint | undefined {
  if (text.trim() === '') return undefined;
  const digits = text.trim().replaceAll(':', '').toLowerCase();
  if (/^[0-9a-f]{40}$/.test(digits)) return { algorithm: 'SHA-1', digits };
  if (/^[0-9a-f]{64}$/.test(digits)) return { algorithm: 'SHA-256', digits };
  throw new ConfigurationError(
    'CA_FINGERPRINT is not a fingerprint: it needs 40 hexadecimal digits (SHA-1) or 64 (SHA-256)',
    { hint: 'openssl x509 -fingerprint -noout -in ca.crt prints it' },
  );
}

/** The first certificate of a PEM text, alone, or undefined when there is none that can be read. */
export function readFirstCertificate(text: string): X509Certificate | undefined {
  const pem = pemPattern.exec(text)?.[0];
  return pem === undefined ? undefined : readCertificate(pem);
}

/** The certificates of a PEM text; those that cannot be read are left out. */
export function readCertificates(text: string): readonly X509Certificate[] {
  const blocks = text.matchAll(new RegExp(pemPattern, 'g'));
  return [...blocks].flatMap(([pem]) => readCertificate(pem) ?? []);
}

const pemPattern = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/;

function readCertificate(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem);
  } catch {
    return undefined;
  }
}

interface CaReadOptions extends ReadOptions {
  /** The file lies where others may write: it is taken as missing. */
  readonly onUnsafe?: (error: HostFolderUnsafeError) => void;
}

async function readCaFile(file: string, options: CaReadOptions = {}): Promise<string | undefined> {
  try {
    const text = await readOwnFile(file, options);
    if (text === undefined) return undefined;
    if (readFirstCertificate(text) !== undefined) return text;
  } catch (error) {
    if (error instanceof HostFolderUnsafeError) {
      options.onUnsafe?.(error);
      return undefined;
    }
    if (systemCodeOf(error) === 'ENOTDIR') return undefined;
    throw new ConfigurationError(`${file} cannot be read`, {
      originalMessage: messageOf(error),
      cause: error,
    });
  }
  throw new ConfigurationError(`${file} holds no certificate`, {
    hint: 'put the certificate of the authority there in PEM, or remove the file',
  });
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
        hint: 'either CA_FINGERPRINT is outdated or somebody stands between this host and the server: compare with the server itself',
      },
    );
  }
  return certificate.toString();
}

/** As openssl prints it, by the algorithm of the other one. */
function fingerprintOf(certificate: X509Certificate, { algorithm }: Fingerprint): string {
  return algorithm === 'SHA-1' ? certificate.fingerprint : certificate.fingerprint256;
}

function hasFingerprint(certificate: X509Certificate, fingerprint: Fingerprint): boolean {
  return fingerprintOf(certificate, fingerprint).replaceAll(':', '').toLowerCase() === fingerprint.digits;
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

/** Makes the certificate known to everything in this container, so that the server's script and the agent trust it. */
async function install({ log }: TrustConnection, request: TrustRequest, ca: string): Promise<void> {
  if (request.readOnly === true) return;
  await keepOnHost(log, request.files, ca);
  if (request.refreshSystemStore !== undefined)
    await addToSystem(log, request.files, request.refreshSystemStore, ca);
}

/**
 * The same for an agent that sends no request of its own before its first script, which was staged on standby.
 * @param where `container`: the tools of this container, which an agent on standby may change; `host`: what the
 * active one keeps
 */
export async function installKeptTrust(
  { log }: Pick<TrustConnection, 'log'>,
  files: TrustRequest['files'],
  where: { readonly container: () => Promise<void> } | 'host',
): Promise<void> {
  await attempt(log, 'read the certificate that this host trusts', async () => {
    const kept = await readCaFile(files.caFile);
    if (kept === undefined) return;
    await (where === 'host' ? keepOnHost(log, files, kept) : addToSystem(log, files, where.container, kept));
  });
}

async function keepOnHost(log: Connection['log'], files: TrustRequest['files'], ca: string): Promise<void> {
  const { caFile, agentConf } = files;
  await attempt(log, 'keep the certificate of the server', async () => {
    if ((await readCaFile(caFile)) !== ca) await writeWithFolder(caFile, ca);
    await addToAgentConf(agentConf, { CURL_CA_BUNDLE: caFile, REQUESTS_CA_BUNDLE: caFile });
  });
}

async function addToSystem(
  log: Connection['log'],
  { systemCaFile }: TrustRequest['files'],
  refreshSystemStore: () => Promise<void>,
  ca: string,
): Promise<void> {
  await attempt(log, 'add the certificate of the server to those of the system', async () => {
    if ((await readSmallFile(systemCaFile)) === ca) return;
    await writeWithFolder(systemCaFile, ca);
    try {
      await refreshSystemStore();
    } catch (error) {
      // The file stands only beside a store that was built from it, so that the next start tries again.
      await rm(systemCaFile, { force: true });
      throw error;
    }
  });
}

/** A read-only disk must not keep the host from its server: our own client has the certificate in memory. */
async function attempt(log: Connection['log'], what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    log.warn(`could not ${what}`, { error: messageOf(error) });
  }
}
