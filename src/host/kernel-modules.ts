import { messageOf } from '../support/errors.ts';
import { runOnHost, type HostCommands } from './mounts/namespace.ts';

/** What Rancher's networks need (contract §5). */
export const kernelModules: readonly string[] = [
  'ansi_cprng',
  'drbg',
  'esp4',
  'veth',
  'xfrm4_mode_tunnel',
  'xfrm6_mode_tunnel',
  'xt_mark',
  'xt_nat',
  'vxlan',
];

/**
 * Loads the modules in the host's mount namespace, all with one command: `modprobe -a` continues after a missing one. Most
 * kernels lack some or have them built in, so a failure is only a debug line.
 */
export async function loadKernelModules(host: HostCommands): Promise<void> {
  try {
    await runOnHost(host, ['modprobe', '-a', ...kernelModules]);
  } catch (error) {
    host.signal?.throwIfAborted();
    host.log.debug('not all kernel modules could be loaded', { error: messageOf(error) });
  }
}
