import type { X509Certificate } from 'node:crypto';
import type { Host } from '../agent/host.ts';
import { readAgentConf } from '../control-plane/agent-conf.ts';
import { createHttpClient } from '../control-plane/http/client.ts';
import { enforceAuthentication } from '../control-plane/http/connection.ts';
import { judgeProbe } from '../control-plane/credentials.ts';
import { nameOf, viewTls } from '../control-plane/http/tls-view.ts';
import { readCertificates } from '../control-plane/certificates.ts';
import { readKeptTrust } from '../control-plane/trust-store.ts';
import { requireHttps } from '../control-plane/transport.ts';
import { describeUrl, joinUrl } from '../control-plane/url.ts';
import { readHttpsRule, readTlsFloor, readTlsTrust, type Environment } from '../support/configuration.ts';
import { ConfigurationError, ServerUnavailableError } from '../support/errors.ts';
import { silentLog } from '../support/log.ts';
import { addEnvironmentSecrets } from '../support/secrets.ts';
import { NotVisibleError } from './probe.ts';
import type { CertificateSnapshot, ServerSnapshot } from './snapshot.ts';

export interface ServerProbe extends Pick<Host, 'paths' | 'limits' | 'clock' | 'secrets' | 'signal'> {
  /** Of the agent: its server, keys, proxies. */
  readonly environment: Environment;
}

/**
 * Sends one request to the server, with the agent's keys and through the agent's proxy. The answer shows three things:
 * whether the server answers, whether it accepts the keys, and its time. Writes nothing, fetches no certificate.
 */
export async function probeServer(view: ServerProbe): Promise<ServerSnapshot> {
  const { limits, secrets } = view;
  const conf = await readAgentConf(`${view.paths.rancher}/etc/agent.conf`);
  const environment: Environment = { ...view.environment, ...conf.variables };
  const cattleUrl = environment['CATTLE_URL'] ?? '';
  const accessKey = environment['CATTLE_ACCESS_KEY'] ?? '';
  const secretKey = environment['CATTLE_SECRET_KEY'] ?? '';
  addEnvironmentSecrets(secrets, environment);
  if (cattleUrl === '' || accessKey === '' || secretKey === '') {
    throw new NotVisibleError('no agent on this host has agent keys', 'Register the host first.');
  }
  const trust = await readKeptTrust(`${view.paths.rancher}/etc/ssl/ca.crt`);
  const client = createHttpClient({ ...view, environment, log: silentLog, trust });
  const ask = async (headers: Readonly<Record<string, string>>): Promise<ServerSnapshot['answer']> => {
    const begun = view.clock.now();
    const start = view.clock.elapsed();
    const response = await client.request({
      method: 'GET',
      url: joinUrl(cattleUrl, 'schemas/configcontent'),
      credentials: { accessKey, secretKey },
      headers,
      repeat: true,
      deadlineMs: limits.DOCTOR_SERVER,
    });
    const ended = view.clock.now();
    const date = Date.parse(response.headers['date'] ?? '');
    return {
      kind: 'answered',
      credentials: judgeProbe(response),
      skewMs: Number.isNaN(date) ? undefined : skewOf(date, begun, ended),
      tookMs: Math.round(view.clock.elapsed() - start),
    };
  };
  const url = describeUrl(cattleUrl);
  const about = {
    url,
    certificates: await probeCertificates(view, environment, cattleUrl, trust.ca),
    ...(readTlsFloor(environment) === 'legacy' ? { legacyTls: true as const } : {}),
    ...(readTlsTrust(environment) === 'ca.crt' ? { strictTrust: true as const } : {}),
    https: readHttpsRule(environment),
  };
  try {
    requireHttps(cattleUrl, environment);
    const first = await ask(enforceAuthentication);
    const isRefused = first.kind === 'answered' && first.credentials.state === 'revoked';
    // As the agent itself asks (see checkCredentials): a refusal counts if it is repeated without the header.
    return { ...about, answer: isRefused ? await ask({}) : first };
  } catch (error) {
    const isNotAsked = error instanceof ConfigurationError && about.https === 'required';
    if (isNotAsked) return { ...about, answer: { kind: 'none', reason: error.message } };
    if (!(error instanceof ServerUnavailableError)) throw error;
    return { ...about, answer: { kind: 'none', reason: reasonOf(error, url) } };
  }
}

/** The certificates of an https server and of `ca.crt`, read without keys; those that cannot be read are left out. */
async function probeCertificates(
  { limits, signal }: ServerProbe,
  environment: Environment,
  cattleUrl: string,
  ca: readonly string[],
): Promise<readonly CertificateSnapshot[]> {
  const url = URL.parse(cattleUrl);
  if (url?.protocol !== 'https:') return [];
  const chain = await viewTls(url, { environment, limits, ca, signal }).then(
    (view) => view.chain,
    () => [],
  );
  const kept = ca.flatMap((text) => readCertificates(text));
  const isSent = new Set(chain.map(({ fingerprint256 }) => fingerprint256));
  return [
    ...chain.map((certificate, index) => recordOf(certificate, 'server', index === 0)),
    ...kept
      .filter(({ fingerprint256 }) => !isSent.has(fingerprint256))
      .map((certificate) => recordOf(certificate, 'ca.crt', false)),
  ];
}

function recordOf(
  certificate: X509Certificate,
  where: CertificateSnapshot['where'],
  isLeaf: boolean,
): CertificateSnapshot {
  return { where, isLeaf, name: nameOf(certificate), endsAt: certificate.validToDate.getTime() };
}

/**
 * How far the server's clock is ahead, in ms. The header was cut to whole seconds somewhere between question and answer.
 */
export function skewOf(date: number, begun: number, ended: number): number {
  if (date + 1_000 < begun) return date + 500 - begun;
  if (date > ended) return date - ended;
  return 0;
}

/** The reason alone: the finding shows the URL beside it. */
function reasonOf(error: ServerUnavailableError, url: string): string {
  const at = error.message.indexOf(': ', error.message.indexOf(url) + url.length);
  return at < 0 ? error.message : error.message.slice(at + 2);
}
