import { BlockList, isIP } from 'node:net';
import type { Environment } from '../../support/configuration.ts';
import { ConfigurationError } from '../../support/errors.ts';

/**
 * The proxy for a URL, as curl and python's requests read the environment, or undefined to go directly.
 * `http_proxy` before `HTTP_PROXY`, `https_proxy` before `HTTPS_PROXY`, then `all_proxy`/`ALL_PROXY`. The returned URL
 * may hold credentials: it is never shown.
 *
 * @throws ConfigurationError when the variable holds no usable proxy URL
 */
export function chooseProxy(url: URL, environment: Environment): URL | undefined {
  const name = proxyVariableFor(url, environment);
  if (name === undefined || isExempt(url, readExemptions(environment))) return undefined;
  return parseProxyUrl(name, environment[name] ?? '');
}

/** A proxy's address for people: without user name and password. */
export function describeProxy({ protocol, host }: URL): string {
  return `${protocol}//${host}`;
}

/** What to do where a proxy took a request, and no answer came. @param proxy as `describeProxy` says it */
export function silentProxyHint(proxy: string): string {
  return (
    `no answer comes through the proxy ${proxy}: look at its log and its way to the server, ` +
    'and at http_proxy, https_proxy and NO_PROXY'
  );
}

/** The variable that names the proxy for a URL, whether or not `NO_PROXY` exempts it. */
export function proxyVariableFor(url: URL, environment: Environment): string | undefined {
  const names =
    url.protocol === 'https:'
      ? ['https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY']
      : ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'];
  return names.find((each) => (environment[each] ?? '') !== '');
}

/** Every proxy URL's password in an environment, to be registered as a secret. */
export function readProxyPasswords(environment: Environment): string[] {
  return Object.entries(environment)
    .filter(([name]) => /^(https?|all)_proxy$/i.test(name))
    .flatMap(([, value]) => {
      const url = URL.parse(withScheme(value));
      if (url === null || url.password === '') return [];
      return [url.password, decodeURIComponentSafely(url.password)];
    });
}

/** The entries of `NO_PROXY`, which run.sh copied over `no_proxy` (contract §4); one without a value hides nothing. */
export function readExemptions(environment: Environment): readonly string[] {
  const text = environment['NO_PROXY'] || environment['no_proxy'] || '';
  return text
    .split(/[\s,]+/)
    .map((entry) => entry.toLowerCase())
    .filter((entry) => entry !== '');
}

/** Whether one of the entries (host, `.suffix`, `host:port`, address, CIDR range) covers the URL, or `*` is the only one, as in curl. */
function isExempt(url: URL, entries: readonly string[]): boolean {
  const { host, port } = hostAndPortOf(url);
  if (entries.length === 1 && entries[0] === '*') return true;
  return entries.some((entry) => coversEntry(entry, host, port));
}

/** As the entries of `NO_PROXY` are compared with. */
export function hostAndPortOf(url: URL): { readonly host: string; readonly port: string } {
  return {
    host: unbracket(url.hostname.toLowerCase()).replace(/\.$/, ''),
    port: url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port,
  };
}

/** Whether an entry of `NO_PROXY`, in lower case, covers a host. */
export function coversEntry(entry: string, host: string, port: string): boolean {
  if (entry.includes('/')) return coversRange(entry, host);
  const { name, port: entryPort } = splitPort(entry);
  if (entryPort !== undefined && entryPort !== port) return false;
  if (isIP(host) !== 0) return name === host || isSameAddress(name, host);
  const suffix = name.replace(/^\*?\./, '').replace(/\.$/, '');
  return suffix !== '' && (host === suffix || host.endsWith(`.${suffix}`));
}

/** `fd00:0::1` is `fd00::1`. */
function isSameAddress(a: string, b: string): boolean {
  return isIP(a) === 6 && isIP(b) === 6 && URL.parse(`http://[${a}]/`)?.hostname === `[${b}]`;
}

function coversRange(entry: string, host: string): boolean {
  const [address = '', bits = ''] = entry.split('/');
  const family = isIP(address);
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 4 ? 32 : 128)) return false;
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  const range = new BlockList();
  range.addSubnet(address, Number(bits), kind);
  return range.check(host, kind);
}

function splitPort(entry: string): { name: string; port: string | undefined } {
  if (isIP(entry) === 6) return { name: entry, port: undefined };
  const match = /^(.*?)(?::(\d+))?$/.exec(entry);
  return { name: unbracket(match?.[1] ?? entry), port: match?.[2] };
}

function parseProxyUrl(name: string, value: string): URL {
  const url = URL.parse(withScheme(value));
  if (url !== null && /^(https?|socks5):$/.test(url.protocol) && url.hostname !== '') return url;
  const isOldSocks = url?.protocol === 'socks4:' || url?.protocol === 'socks4a:';
  throw new ConfigurationError(
    `${name} is not a usable proxy URL${isOldSocks ? ': SOCKS 4 is not supported' : ''}`,
    {
      hint: `set ${name} to http://PROXY:PORT or socks5://PROXY:PORT, or list the server in NO_PROXY`,
    },
  );
}

/** curl and requests take `proxy:3128` for `http://proxy:3128`. */
function withScheme(value: string): string {
  return value.includes('://') ? value.replace(/^socks5h:/i, 'socks5:') : `http://${value}`;
}

function unbracket(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1');
}

function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
