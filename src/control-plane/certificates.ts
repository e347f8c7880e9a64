import { X509Certificate } from 'node:crypto';
import { ConfigurationError } from '../support/errors.ts';

/** What `CA_FINGERPRINT` says: lower-case hexadecimal digits. */
export interface Fingerprint {
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

/** As openssl prints it, by the algorithm of the other one. */
export function fingerprintOf(certificate: X509Certificate, { algorithm }: Fingerprint): string {
  return algorithm === 'SHA-1' ? certificate.fingerprint : certificate.fingerprint256;
}

export function hasFingerprint(certificate: X509Certificate, fingerprint: Fingerprint): boolean {
  return fingerprintOf(certificate, fingerprint).replaceAll(':', '').toLowerCase() === fingerprint.digits;
}
