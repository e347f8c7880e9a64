import { isIP, isIPv4 } from 'node:net';
import { ConfigurationError } from '../support/errors.ts';

/** Why a text is no address an agent can have (contract §5: dotted IPv4 only), or undefined when it is one. */
export function findAgentIpProblem(text: string): string | undefined {
  if (isIP(text) === 6) return 'is an IPv6 address; the agent needs a dotted IPv4 address';
  if (!isIPv4(text)) return 'is not a dotted IPv4 address';
  if (text.startsWith('127.')) return 'is a loopback address';
  if (text === '0.0.0.0' || text === '255.255.255.255') return 'is not an address of one host';
  return undefined;
}

/**
 * Checks `CATTLE_AGENT_IP` (contract §5).
 * @throws ConfigurationError for anything that is not a dotted IPv4 address of one host
 */
export function validateAgentIp(text: string): string {
  const problem = findAgentIpProblem(text);
  if (problem === undefined) return text;
  throw new ConfigurationError(`CATTLE_AGENT_IP "${text}" ${problem}`, {
    hint: 'set CATTLE_AGENT_IP to the IPv4 address other hosts reach this one by, or leave it out',
  });
}
