import { constants } from 'node:crypto';
import { createSecureContext, getCACertificates, rootCertificates, type SecureContext } from 'node:tls';
import { readTlsFloor, readTlsTrust, type Environment } from '../../support/configuration.ts';

/**
 * The certificates that are trusted and the cryptography that is accepted.
 *
 * `ca` would replace the well-known authorities instead of adding to them; curl in this image trusts those of the
 * system, which `update-ca-certificates` extends. As for curl and Go, any certificate given is trust enough: an
 * intermediate authority, or the server's own (`allowPartialTrustChain`).
 *
 * @param ca certificates in PEM, trusted besides the well-known ones; alone with `AGENT_TLS_TRUST=ca.crt`. An empty list then
 *   trusts nobody.
 * @param environment read for `AGENT_TLS_MIN` and `AGENT_TLS_TRUST` only
 */
export function createTrustContext(ca: readonly string[], environment: Environment): SecureContext {
  const wellKnown =
    readTlsTrust(environment) === 'ca.crt' ? [] : [...rootCertificates, ...getCACertificates('system')];
  return createSecureContext({
    ca: [...wellKnown, ...ca],
    allowPartialTrustChain: true,
    ...(readTlsFloor(environment) === 'legacy' ? legacySettings : {}),
  });
}

/** As OpenSSL 1.0.2, the one in the images of Rancher 1.x: also servers that do not know RFC 5746. */
export const legacySettings = {
  minVersion: 'TLSv1',
  ciphers: 'DEFAULT@SECLEVEL=0',
  secureOptions: constants.SSL_OP_LEGACY_SERVER_CONNECT,
} as const;
