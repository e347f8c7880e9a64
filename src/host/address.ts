import { createSocket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { withDeadline } from '../support/deadline.ts';
import type { Limits } from '../support/limits/limits.ts';

/** Any address outside this host; upstream uses this one. */
const outside = '8.8.8.8';

/**
 * The address that this host uses for connections to the outside: the `src` of `ip route get`. The kernel chooses it for a
 * socket that is connected; nothing is sent. Only a process in the host's network gets the host's address.
 * @returns undefined if there is no such route
 */
export async function findHostAddress({
  HOST_COMMAND,
}: Pick<Limits, 'HOST_COMMAND'>): Promise<string | undefined> {
  const socket = createSocket('udp4');
  try {
    return await withDeadline('find the address of this host', HOST_COMMAND, async () => {
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      socket.once('error', () => {
        resolve(undefined);
      });
      socket.connect(53, outside, () => {
        resolve(socket.address().address);
      });
      const address = await promise;
      return address !== undefined && isIPv4(address) && address !== '0.0.0.0' ? address : undefined;
    });
  } finally {
    socket.close();
  }
}
