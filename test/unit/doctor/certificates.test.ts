import { expect, it } from 'vitest';
import { checkCertificates } from '../../../src/doctor/checks/certificates.ts';
import type { CertificateSnapshot, ServerSnapshot } from '../../../src/doctor/snapshot.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { host, known, now } from '../fakes/healthy-host.ts';

const day = 24 * 3_600_000;
const answered: ServerSnapshot['answer'] = {
  kind: 'answered',
  credentials: { state: 'live' },
  skewMs: 0,
  tookMs: 1,
};
const expired: ServerSnapshot['answer'] = { kind: 'none', reason: 'the TLS certificate has expired' };

const findingsOf = (record: Partial<ServerSnapshot>) =>
  checkCertificates(
    host({ server: known({ url: 'https://server/v1', answer: answered, ...record }) }),
    defaultLimits,
  );
const certificate = (endsIn: number, parts: Partial<CertificateSnapshot> = {}): CertificateSnapshot => ({
  where: 'server',
  isLeaf: true,
  name: 'server',
  endsAt: now + endsIn,
  ...parts,
});

it.each<[string, ServerSnapshot['answer'], CertificateSnapshot, string, string, RegExp]>([
  [
    "the server's, in 29 days",
    answered,
    certificate(29 * day),
    'warning',
    'certificate-expires',
    /in 29 days/,
  ],
  [
    "the server's, expired",
    expired,
    certificate(-1),
    'unhealthy',
    'certificate-expired',
    /of the server expired on \d{4}-/,
  ],
  [
    "an authority's, expired, while the server answers",
    answered,
    certificate(-1, { where: 'ca.crt', isLeaf: false }),
    'warning',
    'certificate-expired',
    /in ca\.crt expired/,
  ],
])('a certificate is named: %s', (_what, answer, one, level, cause, text) => {
  const [finding, ...others] = findingsOf({ answer, certificates: [one, certificate(31 * day)] });
  expect(finding).toMatchObject({ level, cause });
  expect(finding?.text).toMatch(text);
  expect(others).toEqual([]);
});

it('a lowered minimum of TLS is a warning while it is set', () => {
  expect(findingsOf({ legacyTls: true })).toMatchObject([{ level: 'warning', cause: 'tls-legacy' }]);
  expect(findingsOf({})).toEqual([]);
});
