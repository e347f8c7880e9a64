import { copyFile, mkdir } from 'node:fs/promises';
import { systemCodeOf } from '../support/errors.ts';
import { tryOrWarn, type HostCommands } from './host-namespace.ts';
import { loadKernelModules } from './kernel-modules.ts';
import { prepareMounts } from './mounts.ts';

/** Upstream's helper for containers on the host, and where they find it (contract §5). */
const helperProgram = { from: '/usr/bin/r', to: '/.r/r' };

/** Prepares the host for the agent, natively and idempotently; what fails is told and not waited for. */
export async function prepareHost(host: HostCommands): Promise<void> {
  await tryOrWarn(host, 'making the folders of the agent', async () => {
    await mkdir('/var/lib/cattle', { recursive: true });
    await mkdir(host.paths.state, { recursive: true });
  });
  await prepareMounts(host);
  await tryOrWarn(host, 'providing /.r/r', provideHelper);
  await loadKernelModules(host);
}

async function provideHelper(): Promise<void> {
  try {
    await copyFile(helperProgram.from, helperProgram.to);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}
