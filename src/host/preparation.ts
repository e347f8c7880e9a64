import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../support/clock.ts';
import { messageOf, systemCodeOf, TryAgainLaterError } from '../support/errors.ts';
import { HostFolderUnwritableError } from './errors.ts';
import { tryOrWarn, type HostCommands } from './mounts/namespace.ts';
import { loadKernelModules } from './kernel-modules.ts';
import { withHostLock, type HostLockOptions } from './files/lock.ts';
import { prepareMounts } from './mounts/shared.ts';

/** Upstream's helper for containers on the host, and where they find it (contract §5). */
const helperProgram = { from: '/usr/bin/r', to: '/.r/r' };

export interface MountsLock {
  /** Short id of our own container. */
  readonly container: string | undefined;
  readonly clock: Clock;
  /** Whether a holder's container is known to have exited. */
  readonly hasEnded?: HostLockOptions['hasEnded'];
}

/**
 * Prepares on standby only what does not disturb another agent: kernel modules, and the mounts. A lock of their own prevents
 * that two agents that start together stack mounts. Every step is idempotent; a failure is logged and not waited for.
 */
export async function prepareOnStandby(host: HostCommands, lock: MountsLock): Promise<void> {
  await Promise.all([
    tryOrWarn(host, 'preparing the mounts', async () => underMountsLock(host, lock)),
    loadKernelModules(host),
  ]);
}

/** Prepares what belongs to the active agent alone, after its promotion. */
export async function prepareAsActive(host: HostCommands): Promise<void> {
  await tryOrWarn(host, 'making the folders of the agent', async () => {
    await mkdir('/var/lib/cattle', { recursive: true });
    await mkdir(host.paths.state, { recursive: true });
  });
  await tryOrWarn(host, 'providing /.r/r', provideHelper);
}

/** Never the worker's lock: a worker holds that one while it waits for an agent on standby. */
async function underMountsLock(host: HostCommands, lock: MountsLock): Promise<void> {
  const { limits, log, paths, signal } = host;
  const { container, clock, hasEnded } = lock;
  try {
    await withHostLock(
      {
        folder: join(paths.entrypoint, 'mounts'),
        owner: { command: 'run', pid: process.pid, ...(container === undefined ? {} : { container }) },
        limits: {
          ...limits,
          LOCK_WAIT: limits.MOUNTS_LOCK_WAIT,
          LOCK_STALE: limits.MOUNTS_LOCK_STALE,
          LOCK_REFRESH: limits.MOUNTS_LOCK_REFRESH,
          LOCK_LOOK: limits.MOUNTS_LOCK_REFRESH,
        },
        clock,
        log,
        ...(hasEnded === undefined ? {} : { hasEnded }),
        ...(signal === undefined ? {} : { signal }),
      },
      async (held) => prepareMounts({ ...host, signal: held }),
    );
  } catch (error) {
    if (error instanceof HostFolderUnwritableError) {
      log.debug('preparing the mounts without a lock', { error: messageOf(error) });
      await prepareMounts(host);
    } else if (error instanceof TryAgainLaterError) {
      log.warn('another agent of this host prepares the mounts', { error: messageOf(error) });
    } else throw error;
  }
}

async function provideHelper(): Promise<void> {
  try {
    await copyFile(helperProgram.from, helperProgram.to);
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
  }
}
