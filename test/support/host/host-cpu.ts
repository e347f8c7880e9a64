import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** CPU seconds used since the host was booted. */
export interface CpuSeconds {
  /** dockerd, containerd and what they start around a container. */
  readonly engine: number;
  /** Everything inside containers, those that are gone included. */
  readonly containers: number;
}

/** @param cgroup of the host, relative to the root of every hierarchy */
export async function readCpuSeconds(cgroup: string): Promise<CpuSeconds> {
  const [engine, containers] = await Promise.all([
    readSeconds(join(cgroup, 'engine')),
    readSeconds(join(cgroup, 'docker')),
  ]);
  return { engine, containers };
}

/** A group's own time and that of all groups below it; 0 before there is one. */
async function readSeconds(cgroup: string): Promise<number> {
  const old = await readFile(join('/sys/fs/cgroup/cpuacct', cgroup, 'cpuacct.usage'), 'utf8').catch(() => '');
  if (old !== '') return Number(old) / 1e9;
  const now = await readFile(join('/sys/fs/cgroup', cgroup, 'cpu.stat'), 'utf8').catch(() => '');
  return Number(/^usage_usec (\d+)$/m.exec(now)?.[1] ?? 0) / 1e6;
}
