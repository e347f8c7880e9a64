/** The thin pool as `dmsetup status` shows it. */

/** Metadata of the pool at one moment. */
export interface PoolSample {
  /** Since the boot of the machine. */
  readonly seconds: number;
  /** Blocks of 4 kB, with the kernel's reserve. */
  readonly used: number;
  readonly total: number;
  /** `rw`, `ro`, `out_of_data_space` or `Fail`. */
  readonly mode: string;
  readonly needsCheck: boolean;
}

/**
 * Understands one line of the recorder: seconds since the boot, then what `dmsetup status` prints about a thin pool (kernel
 * Documentation/admin-guide/device-mapper/thin-provisioning.rst).
 * @returns undefined for any other line
 */
export function parsePoolSample(line: string): PoolSample | undefined {
  const match = /^(\d+(?:\.\d+)?) .*?\bthin-pool \d+ (\d+)\/(\d+) \d+\/\d+ \S+ (\S+) (.*)$/.exec(line.trim());
  if (match === null) {
    const failed = /^(\d+(?:\.\d+)?) .*\bthin-pool Fail$/.exec(line.trim());
    if (failed === null) return undefined;
    return { seconds: Number(failed[1]), used: 0, total: 0, mode: 'Fail', needsCheck: false };
  }
  const [, seconds, used, total, mode = '', rest = ''] = match;
  return {
    seconds: Number(seconds),
    used: Number(used),
    total: Number(total),
    mode,
    needsCheck: rest.split(' ').includes('needs_check'),
  };
}

/** Used metadata in percent, with one digit. */
export function percentOf({ used, total }: Pick<PoolSample, 'used' | 'total'>): number {
  return total === 0 ? 0 : Math.round((used / total) * 1000) / 10;
}
