import type { SecureContext } from 'node:tls';
import { Agent, ProxyAgent, Socks5ProxyAgent, type Dispatcher } from 'undici';
import type { HttpClientOptions } from './message.ts';
import { chooseProxy } from './proxy.ts';
import { createTrustContext } from './tls-floor.ts';

/** What a connection depends on. */
export interface DispatcherOptions extends Pick<HttpClientOptions, 'limits' | 'environment' | 'trust'> {
  readonly trusted: TrustedCertificates;
}

/** One for each exchange: no idle connection is left to break under a later request or to keep the process alive. */
export function createDispatcher(
  url: URL,
  { limits, environment, trust, trusted }: DispatcherOptions,
): Dispatcher {
  const proxy = chooseProxy(url, environment);
  const encrypted = url.protocol === 'https:' || proxy?.protocol === 'https:';
  const tlsOfProxy = {
    timeout: limits.HTTP_CONNECT,
    allowH2: false,
    ...(encrypted ? { secureContext: trusted.context() } : {}),
    // Always said: Node's default follows NODE_TLS_REJECT_UNAUTHORIZED, which a base image or a person may have set.
    rejectUnauthorized: true,
  };
  // The proxy gets its password in any case, so it is never unverified.
  const tls = { ...tlsOfProxy, rejectUnauthorized: trust?.unverified !== true };
  // The deadline of the whole exchange rules: undici's own timers are switched off.
  const timeouts = { headersTimeout: 0, bodyTimeout: 0 };
  if (proxy === undefined) return new Agent({ ...timeouts, connect: tls });
  if (proxy.protocol === 'socks5:') {
    // Without `proxyTls`, which would make TLS of the way to the proxy itself.
    return new Socks5ProxyAgent(proxy, { ...timeouts, connectTimeout: limits.HTTP_CONNECT, requestTls: tls });
  }
  return new ProxyAgent({ ...timeouts, uri: proxy.href, requestTls: tls, proxyTls: tlsOfProxy });
}

/** What is trusted, which may change on the host while a client lives. */
export class TrustedCertificates {
  private readonly options: HttpClientOptions;
  private created: SecureContext | undefined;
  private ca: readonly string[];

  constructor(options: HttpClientOptions) {
    this.options = options;
    this.ca = options.trust?.ca ?? [];
  }

  /** Created when it is first needed: plain http needs none. */
  context(): SecureContext {
    return (this.created ??= createTrustContext(this.ca, this.options.environment));
  }

  /** Reads them again. @returns whether they are others now */
  async reread(): Promise<boolean> {
    const found = await this.options.trust?.reread?.();
    if (found === undefined || this.ca.includes(found)) return false;
    this.ca = [found];
    this.created = undefined;
    return true;
  }
}
