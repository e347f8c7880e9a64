import { readFileSync } from 'node:fs';

/** Certificates of the stub server, created by `certificates/make-certificates`. */
export const certificates = {
  /** Signed all of the others. */
  authority: read('authority.crt'),
  /** Signed none of them. */
  stranger: read('stranger.crt'),
  /** For 127.0.0.1, ::1, localhost, stub, rancher and the gateways of all test hosts. */
  server: { cert: read('server.crt'), key: read('server.key') },
  otherName: { cert: read('other-name.crt'), key: read('other-name.key') },
  expired: { cert: read('expired.crt'), key: read('expired.key') },
  /** Signed by `authority`. */
  intermediate: read('intermediate.crt'),
  /** Signed by `intermediate`, whose certificate is not sent with it. */
  chained: { cert: read('chained.crt'), key: read('chained.key') },
  /** The same, sent with the certificate of its intermediate authority. */
  chain: { cert: read('chained.crt') + read('intermediate.crt'), key: read('chained.key') },
  /** An RSA key of 1024 bits. */
  shortKey: { cert: read('short-key.crt'), key: read('short-key.key') },
  /** Signed with SHA-1. */
  sha1: { cert: read('sha1.crt'), key: read('sha1.key') },
  /** Diffie-Hellman parameters of 1024 bits. */
  shortGroup: read('dh1024.pem'),
  /** An RSA key of 2048 bits. */
  rsa: { cert: read('rsa.crt'), key: read('rsa.key') },
} as const;

function read(name: string): string {
  return readFileSync(new URL(`./certificates/${name}`, import.meta.url), 'utf8');
}
