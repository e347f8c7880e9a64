import { certificates } from './certificates.ts';

/** The TLS settings of the https servers in the table. */
export const tlsServers = {
  server: certificates.server,
  expired: certificates.expired,
  'other-name': certificates.otherName,
  'leaf only': certificates.chained,
  'leaf and intermediate': certificates.chain,
  'RSA-1024': { ...certificates.shortKey, ciphers: 'DEFAULT@SECLEVEL=0' },
  'SHA-1': { ...certificates.sha1, ciphers: 'DEFAULT@SECLEVEL=0' },
  'TLS 1.1': {
    ...certificates.rsa,
    ciphers: 'DEFAULT@SECLEVEL=0',
    minVersion: 'TLSv1.1',
    maxVersion: 'TLSv1.1',
  },
} as const;

/** The possible contents of ca.crt. */
export const caFiles = {
  authority: certificates.authority,
  intermediate: certificates.intermediate,
  'the leaf': certificates.chained.cert,
  stranger: certificates.stranger,
  nonsense: 'nonsense\n',
} as const;
