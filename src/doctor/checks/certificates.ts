import { tlsMinVariable } from '../../support/configuration.ts';
import { formatAge } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Finding } from '../finding.ts';
import type { CertificateSnapshot, HostSnapshot } from '../snapshot.ts';

const dayMs = 24 * 3_600_000;

/** Certificates of the server that have expired or soon will, and a lowered minimum of TLS. */
export function checkCertificates({ server, now }: HostSnapshot, limits: Limits): readonly Finding[] {
  if (!server.known) return [];
  const { certificates = [], legacyTls, answer } = server.value;
  const isRefused = answer.kind === 'none';
  return [
    ...certificates
      .filter(({ endsAt }) => endsAt < now + limits.CERTIFICATE_DAYS * dayMs)
      .map((certificate) => describe(certificate, now, isRefused)),
    ...(legacyTls === true ? [legacyFinding] : []),
  ];
}

const legacyFinding: Finding = {
  check: 'server',
  level: 'warning',
  text: `${tlsMinVariable}=legacy: TLS 1.0, short keys and SHA-1 are accepted from the server`,
  cause: 'tls-legacy',
  advice: `Renew the certificate or the TLS setting of the server, then remove ${tlsMinVariable} (agent.conf, or register again without it).`,
};

function describe(
  { name, where, isLeaf, endsAt }: CertificateSnapshot,
  now: number,
  isRefused: boolean,
): Finding {
  const day = new Date(endsAt).toISOString().slice(0, 10);
  const of = where === 'server' ? (isLeaf ? 'of the server' : "in the server's chain") : 'in ca.crt';
  const isOver = endsAt <= now;
  return {
    check: 'server',
    // An expired authority may not be in use: it is a fault only if the server cannot be reached.
    level: isOver && isRefused && isLeaf ? 'unhealthy' : 'warning',
    text: isOver
      ? `the certificate "${name}" ${of} expired on ${day}`
      : `the certificate "${name}" ${of} expires in ${formatAge(endsAt - now)}, on ${day}`,
    cause: isOver ? 'certificate-expired' : 'certificate-expires',
    advice:
      where === 'server'
        ? 'Renew the certificate of the server, and ca.crt on the hosts if its authority changes.'
        : 'Put the new certificate into /var/lib/rancher/etc/ssl/ca.crt; no restart is needed.',
    figures: { endsAt: new Date(endsAt).toISOString() },
  };
}
