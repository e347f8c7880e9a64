import { isIP } from 'node:net';
import type { Environment } from '../../support/configuration.ts';
import { coversEntry, hostAndPortOf, proxyVariableFor, readExemptions } from './proxy.ts';

/**
 * What the bootstrap's curl reads differently in the proxy variables, in sentences for people: this program would reach
 * the server, and the agent then would not. Only what matters for this server; nothing when both go the same way.
 *
 * @param url an address of the server
 * @param passed names of the variables that the agent gets; the others are lost
 */
export function remarksOnProxies(url: URL, environment: Environment, passed: readonly string[]): string[] {
  const name = proxyVariableFor(url, environment);
  if (name === undefined) return [];
  const entries = readExemptions(environment);
  const { host, port } = hostAndPortOf(url);
  const covering = entries.filter((entry) => coversEntry(entry, host, port));
  if (entries.length === 1 && entries[0] === '*') return [];
  if (covering.length === 0) return remarksOnVariable(url, name, passed);
  const readings = covering.map((entry) => remarkOnEntry(entry, host));
  // One that every curl understands is enough.
  return readings.includes(undefined) ? [] : readings.filter((remark) => remark !== undefined);
}

function remarksOnVariable(url: URL, name: string, passed: readonly string[]): string[] {
  const better = url.protocol === 'https:' ? 'https_proxy' : 'http_proxy';
  if (name === 'HTTP_PROXY') return [`curl does not read HTTP_PROXY; set http_proxy as well`];
  return passed.includes(name) ? [] : [`the agent does not get ${name}; set ${better} instead`];
}

/** Why a curl reads an entry that covers the server differently, or undefined when each reads it as we do. */
function remarkOnEntry(entry: string, host: string): string | undefined {
  const misread = `curl does not understand the NO_PROXY entry ${entry}`;
  if (entry.startsWith('*.')) return `${misread}; write ${entry.slice(1)}`;
  if (entry.includes('/'))
    return `a curl before 7.86 does not understand the NO_PROXY entry ${entry}; write ${host}`;
  if (isIP(host) === 6 && entry !== host) return `${misread}; write ${host}`;
  if (isIP(entry) !== 6 && /:\d+$/.test(entry)) return `${misread}; write ${entry.replace(/:\d+$/, '')}`;
  return undefined;
}
