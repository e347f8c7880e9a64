import { isIPv4 } from 'node:net';
import { readKernelText } from './files/read.ts';
import type { Paths } from '../support/configuration.ts';

/**
 * The IPv4 addresses of the host's own interfaces, as its routing table has them. It is that of process 1, so the caller must see
 * the processes of the host.
 * @throws as `readKernelText`
 */
export async function readHostAddresses({ proc }: Pick<Paths, 'proc'>): Promise<ReadonlySet<string>> {
  const table = await readKernelText(`${proc}/1/net/fib_trie`);
  const found = [...table.matchAll(/\|-- ([0-9.]+)\n *\/32 host LOCAL/g)];
  return new Set(found.flatMap(([, address = '']) => (isIPv4(address) ? [address] : [])));
}

/** An address of a private network (RFC 1918), of a carrier's (RFC 6598), or of a link (RFC 3927). */
export function isPrivateAddress(address: string): boolean {
  const [first = 0, second = 0] = address.split('.').map(Number);
  if (first === 10) return true;
  if (first === 172) return second >= 16 && second < 32;
  if (first === 100) return second >= 64 && second < 128;
  return (first === 192 && second === 168) || (first === 169 && second === 254);
}
