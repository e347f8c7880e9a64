import { readFileSync } from 'node:fs';

/** Certificates of the stub server, made by `certificates/make-certificates`. */
export const certificates = {
  /** Signed all of the others. */
  authority: read('authority.crt'),
  /** Signed none of them. */
  stranger: read('stranger.crt'),
  /** For 127.0.0.1, ::1, localhost, stub, rancher and the gateways of all test hosts. */
  server: { cert: read('server.crt'), key: read('server.key') },
  otherName: { cert: read('other-name.crt'), key: read('other-name.key') },
  expired: { cert: read('expired.crt'), key: read('expired.key') },
} as const;

function read(name: string): string {
  return readFileSync(new URL(`./certificates/${name}`, import.meta.url), 'utf8');
}
