import { silentLog } from '../support/log.ts';
import { runOnHost, type HostCommands } from './mounts/namespace.ts';

/** What the kernel says about a thin pool (its documentation of `thin-pool`, "Status"). */
export interface PoolMode {
  /** `failed`: it refuses reads as well. */
  readonly mode: 'rw' | 'ro' | 'out-of-data' | 'failed';
  /** It must be checked offline before it can be written to again. Kernels before 3.19 do not say it. */
  readonly needsCheck: boolean;
}

const modes: Readonly<Record<string, PoolMode['mode']>> = {
  rw: 'rw',
  ro: 'ro',
  out_of_data_space: 'out-of-data',
};

/** Understands what `dmsetup status POOL` prints; undefined if it is no thin pool, or says something else. */
export function parsePoolStatus(text: string): PoolMode | undefined {
  const [, status] = /^\d+ \d+ thin-pool (.+)$/m.exec(text) ?? [];
  if (status === undefined) return undefined;
  const words = status.trim().split(/\s+/);
  if (['Fail', 'Error'].includes(words[0] ?? '')) return { mode: 'failed', needsCheck: false };
  const word = words.find((each) => Object.hasOwn(modes, each));
  const mode = modes[word ?? ''];
  return mode === undefined ? undefined : { mode, needsCheck: words.includes('needs_check') };
}

/**
 * Asks the kernel about the engine's pool, by the host's `dmsetup`. It only reads: without `--noflush` the kernel would first
 * write what is pending.
 * @param pool its name, as the engine has it: `Pool Name`
 * @returns undefined for a name that is none, and for a device that is no thin pool
 * @throws CommandError, also where the host has no `dmsetup`; DeadlineError
 */
export async function readPoolMode(
  host: Omit<HostCommands, 'log'>,
  pool: string,
): Promise<PoolMode | undefined> {
  if (!/^\w[\w.:+-]*$/.test(pool)) return undefined;
  const { stdout } = await runOnHost({ ...host, log: silentLog }, ['dmsetup', 'status', '--noflush', pool]);
  return parsePoolStatus(stdout);
}
