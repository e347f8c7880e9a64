import { tlsMinVariable } from '../../support/configuration.ts';
import { formatAge } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Finding } from '../finding.ts';
import type { CertificateRecord, HostRecord } from '../snapshot.ts';

const dayMs = 24 * 3_600_000;

/** Certificates on the way to the server that have run out or soon will, and a floor of TLS that was lowered. */
export function checkCertificates({ server, now }: HostRecord, limits: Limits): readonly Finding[] {
  if (!server.known) return [];
  const { certificates = [], legacyTls, answer } = server.value;
  const isRefused = answer.kind === 'none';
  return [
    ...certificates
      .filter(({ endsAt }) => endsAt < now + limits.CERTIFICATE_DAYS * dayMs)
      .map((certificate) => judge(certificate, now, isRefused)),
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

function judge({ name, where, isLeaf, endsAt }: CertificateRecord, now: number, isRefused: boolean): Finding {
  const day = new Date(endsAt).toISOString().slice(0, 10);
  const of = where === 'server' ? (isLeaf ? 'of the server' : "in the server's chain") : 'in ca.crt';
  const isOver = endsAt <= now;
  return {
    check: 'server',
    // An authority that has run out need not be on the way: only a server that is not reached makes it an illness.
    level: isOver && isRefused && isLeaf ? 'unhealthy' : 'warning',
    text: isOver
      ? `the certificate "${name}" ${of} ran out on ${day}`
      : `the certificate "${name}" ${of} runs out in ${formatAge(endsAt - now)}, on ${day}`,
    cause: isOver ? 'certificate-expired' : 'certificate-expires',
    advice:
      where === 'server'
        ? 'Renew the certificate of the server, and ca.crt on the hosts if its authority changes.'
        : 'Put the new certificate into /var/lib/rancher/etc/ssl/ca.crt; it counts without a restart.',
    figures: { endsAt: new Date(endsAt).toISOString() },
  };
}
