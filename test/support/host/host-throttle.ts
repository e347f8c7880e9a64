import { access, writeFile } from 'node:fs/promises';

const PERIOD_US = 100_000;

/**
 * Limits the CPU time of everything in a test host: engine and containers.
 *
 * @param cgroup relative to the root of the hierarchy
 * @param percent of one CPU; undefined removes the limit
 */
export async function throttleHost(cgroup: string, percent: number | undefined): Promise<void> {
  const quota = percent === undefined ? undefined : Math.round((PERIOD_US * percent) / 100);
  const old = `/sys/fs/cgroup/cpu/${cgroup}`;
  if (await exists(old)) await writeFile(`${old}/cpu.cfs_quota_us`, String(quota ?? -1));
  else await writeFile(`/sys/fs/cgroup/${cgroup}/cpu.max`, `${quota ?? 'max'} ${PERIOD_US}`);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
