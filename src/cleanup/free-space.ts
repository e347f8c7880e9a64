import { statfs } from 'node:fs/promises';
import type { Engine, EngineInfo } from '../engine/engine.ts';
import { judgeStorage, readStorage, type StorageVerdict } from '../host/storage.ts';
import type { Paths } from '../support/configuration.ts';
import type { Limits } from '../support/limits/limits.ts';

/** Drivers whose containers show the file system of the Docker root as their own `/`. */
const fileDrivers = /^(overlay2?|aufs|vfs|btrfs)$/;

export interface FreeSpace {
  /** Free for containers; undefined if it cannot be known. An approximation, because others use the same disk. */
  readonly bytes: number | undefined;
  readonly verdict: StorageVerdict;
}

/** The free space for containers, seen from a container that mounts nothing but the engine's socket. */
export async function readFreeSpace(engine: Engine, paths: Paths, limits: Limits): Promise<FreeSpace> {
  const info = await engine.readInfo();
  const facts = await readStorage(
    paths,
    { driver: info.storageDriver, driverStatus: info.driverStatus, dockerRoot: info.rootDirectory },
    limits,
  );
  const verdict = judgeStorage(facts, limits);
  const pool = facts.devicemapper?.data;
  if (pool !== undefined) {
    const { totalBytes, usedBytes } = pool;
    const isKnown = totalBytes !== undefined && usedBytes !== undefined;
    return { bytes: isKnown ? totalBytes - usedBytes : undefined, verdict };
  }
  return { bytes: facts.fileSystem?.freeBytes ?? (await readOwnRoot(info)), verdict };
}

/** The bytes that became free between the two; undefined if it cannot be known. */
export function bytesFreed(before: FreeSpace | undefined, after: FreeSpace | undefined): number | undefined {
  if (before?.bytes === undefined || after?.bytes === undefined) return undefined;
  return Math.max(0, after.bytes - before.bytes);
}

async function readOwnRoot({ storageDriver }: EngineInfo): Promise<number | undefined> {
  if (!fileDrivers.test(storageDriver)) return undefined;
  try {
    const { bsize, bavail } = await statfs('/');
    return bavail * bsize;
  } catch {
    return undefined;
  }
}
