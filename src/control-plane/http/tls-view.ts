import { X509Certificate } from 'node:crypto';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  connect as connectTls,
  createSecureContext,
  type DetailedPeerCertificate,
  type TLSSocket,
} from 'node:tls';
import { Client } from 'undici';
import type { Environment } from '../../support/configuration.ts';
import { withDeadline } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { chooseProxy } from './proxy.ts';
import { createTrustContext, legacySettings } from './tls-floor.ts';

/** What a server shows of itself in a TLS handshake. */
export interface TlsView {
  /** As Node names it: `TLSv1.1`. */
  readonly protocol: string;
  /** The server's own certificate first, then its authorities, as far as they are sent or known. */
  readonly chain: readonly X509Certificate[];
  /** Bits of the Diffie-Hellman key, where that was used. */
  readonly diffieHellmanBits: number | undefined;
}

export interface TlsViewOptions {
  /** Read for proxy variables and the settings of TLS only. */
  readonly environment: Environment;
  readonly limits: Limits;
  /** Trusted besides the well-known ones, where the proxy speaks TLS. */
  readonly ca: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Longer chains are nobody's. */
const longestChain = 10;

/** In characters. */
const longestName = 100;

/** RSA and Diffie-Hellman keys below have less than 112 bits of security, what OpenSSL asks for by default. */
const shortestKeyBits = 2048;

/**
 * Probes the TLS of a server: a handshake by the laxest rules, and no more. No request, key or token
 * is sent; nothing that is seen is trusted.
 * @throws what the connection throws; Error by way of a SOCKS proxy, where there is no look
 */
export async function viewTls(url: URL, options: TlsViewOptions): Promise<TlsView> {
  return await withDeadline(
    `look at the certificate of ${url.host}`,
    options.limits.TLS_VIEW,
    async (signal) => {
      const socket = await openSocket(url, options, signal);
      try {
        return await shakeHands(url, socket);
      } finally {
        socket.destroy();
      }
    },
    options.signal,
  );
}

/** Pure: what is too weak in words that name it, or undefined when nothing is. */
export function describeWeakness({ protocol, chain, diffieHellmanBits }: TlsView): string | undefined {
  const old = { TLSv1: 'TLS 1.0', 'TLSv1.1': 'TLS 1.1' }[protocol];
  const found = [
    ...(old === undefined ? [] : [`the server speaks only ${old}`]),
    ...(diffieHellmanBits === undefined || diffieHellmanBits >= shortestKeyBits
      ? []
      : [`the server's Diffie-Hellman key has ${diffieHellmanBits} bits`]),
    ...chain.flatMap(describeCertificate),
  ];
  return found.length === 0 ? undefined : found.join(', and ');
}

/** The subject's name for people: the common name, else all of it. */
export function nameOf(certificate: X509Certificate): string {
  const subject = certificate.subject as string | undefined;
  const name = /^CN=(.*)$/m.exec(subject ?? '')?.[1] ?? subject ?? 'a certificate without a name';
  // Somebody else's text: one line, without control characters.
  return name.replace(/[\p{Cc}\s]+/gu, ' ').slice(0, longestName);
}

function describeCertificate(certificate: X509Certificate, index: number): readonly string[] {
  const { asymmetricKeyType, asymmetricKeyDetails } = certificate.publicKey;
  const bits = asymmetricKeyDetails?.modulusLength;
  const digest = /sha1|md5|md4|md2/i.exec((certificate.signatureAlgorithm ?? '').replace('-', ''))?.[0];
  const authority = index === 0 ? undefined : `of the authority "${nameOf(certificate)}"`;
  const kind = (asymmetricKeyType ?? '').toUpperCase().replace('-PSS', '');
  const isRoot = certificate.subject === certificate.issuer && index > 0;
  return [
    ...(bits === undefined || bits >= shortestKeyBits
      ? []
      : [
          authority === undefined
            ? `the server's ${kind} key has ${bits} bits`
            : `the ${kind} key ${authority} has ${bits} bits`,
        ]),
    // Nobody checks the signature of a root on itself.
    ...(digest === undefined || isRoot
      ? []
      : [
          `the certificate${authority === undefined ? '' : ` ${authority}`} is signed with ${/sha1/i.test(digest) ? 'SHA-1' : digest.toUpperCase()}`,
        ]),
  ];
}

async function openSocket(url: URL, options: TlsViewOptions, signal: AbortSignal): Promise<Duplex> {
  const proxy = chooseProxy(url, options.environment);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const port = Number(url.port === '' ? 443 : url.port);
  if (proxy !== undefined) return await openTunnel(proxy, `${url.hostname}:${port}`, options, signal);
  const socket = connectTcp({ host, port });
  signal.addEventListener('abort', () => socket.destroy(), { once: true });
  await settled(socket, 'connect');
  return socket;
}

async function openTunnel(
  proxy: URL,
  target: string,
  { limits, ca, environment }: TlsViewOptions,
  signal: AbortSignal,
): Promise<Duplex> {
  if (proxy.protocol.startsWith('socks')) throw new Error('no look by way of a SOCKS proxy');
  const client = new Client(proxy.origin, {
    connect: {
      timeout: limits.TLS_VIEW,
      ...(proxy.protocol === 'https:' ? { secureContext: createTrustContext(ca, environment) } : {}),
      // Always said, as in the client: the proxy's password goes there.
      rejectUnauthorized: true,
    },
  });
  signal.addEventListener('abort', () => void client.destroy().catch(() => undefined), { once: true });
  const { socket, statusCode } = await client.connect({
    path: target,
    headers: { host: target, ...authorizationOf(proxy) },
    signal,
  });
  if (statusCode === 200) return socket;
  socket.on('error', () => undefined).destroy();
  throw new Error(`the proxy answers with status ${statusCode}`);
}

function authorizationOf({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '') return {};
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(pair).toString('base64')}` };
}

async function shakeHands(url: URL, socket: Duplex): Promise<TlsView> {
  const name = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const secure = connectTls({
    socket,
    secureContext: createSecureContext(legacySettings),
    // Seen, not trusted: whatever the certificate is, nothing is sent.
    rejectUnauthorized: false,
    minDHSize: 1,
    ...(isIP(name) === 0 ? { servername: name } : {}),
  });
  await settled(secure, 'secureConnect');
  const view = readView(secure);
  secure.destroy();
  return view;
}

function readView(socket: TLSSocket): TlsView {
  const ephemeral = socket.getEphemeralKeyInfo() as { type?: string; size?: number } | null;
  return {
    protocol: socket.getProtocol() ?? '',
    chain: readChain(socket.getPeerCertificate(true)),
    diffieHellmanBits: ephemeral?.type === 'DH' ? ephemeral.size : undefined,
  };
}

/** The peer's certificates are linked; a root links to itself, and one whose issuer is not known to nothing. */
function readChain(first: DetailedPeerCertificate): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  const seen = new Set<string>();
  let current: Partial<DetailedPeerCertificate> | undefined = first;
  while (current?.raw !== undefined && chain.length < longestChain) {
    const certificate = new X509Certificate(current.raw);
    if (seen.has(certificate.fingerprint256)) break;
    seen.add(certificate.fingerprint256);
    chain.push(certificate);
    current = current.issuerCertificate;
  }
  return chain;
}

async function settled(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  socket.once(event, () => resolve(undefined));
  // Stays: what comes after the handshake must not end the process.
  socket.on('error', reject);
  socket.once('close', () => reject(new Error('the connection was closed')));
  await promise;
}
