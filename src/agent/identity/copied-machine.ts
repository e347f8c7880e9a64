import { keepMachine } from '../../host/machine.ts';
import { messageOf } from '../../support/errors.ts';
import type { Host } from '../host.ts';

/**
 * Keeps to which machine the host key belongs, and warns on any other one. A copied disk has the key of the machine that it was
 * copied from, and then the server takes both for one host. Nothing is refused, because the machine may only be a new one for the
 * old disk. Never throws.
 * @param deadlineMs for each file
 */
export async function keepMachineOrWarn(
  { paths, clock, log }: Pick<Host, 'paths' | 'clock' | 'log'>,
  deadlineMs: number,
): Promise<void> {
  try {
    const found = await keepMachine(paths, clock.now(), deadlineMs);
    if (found.kind !== 'other') return;
    log.warn(
      `the host key of this machine was kept on another machine since ${found.since.slice(0, 10)}: for the server, both are one host`,
      {
        hint:
          'if the other one still runs, separate them: see the runbook, "Two machines with one host key"; ' +
          'if not: rm /var/lib/rancher/entrypoint/machine.json',
      },
    );
  } catch (error) {
    log.warn('cannot keep on this host to which machine its key belongs', { error: messageOf(error) });
  }
}
