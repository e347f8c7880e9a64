import { statfs } from 'node:fs/promises';
import type { Engine, EngineInfo } from '../engine/engine.ts';
import { judgeStorage, readStorage, type PoolUsage, type StorageVerdict } from '../host/storage.ts';
import type { Paths } from '../support/configuration.ts';
import type { Limits } from '../support/limits/limits.ts';

/** Drivers whose containers show the file system of the Docker root as their own `/`. */
const fileDrivers = /^(overlay2?|aufs|vfs|btrfs)$/;

export interface FreeSpace {
  /** Free for containers; undefined if it cannot be known. An approximation, because others use the same disk. */
  readonly bytes: number | undefined;
  /** Free metadata of a devicemapper pool, which fills up first; undefined with other drivers. */
  readonly metadataBytes: number | undefined;
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
  const pool = facts.devicemapper;
  if (pool !== undefined) return { bytes: freeOf(pool.data), metadataBytes: freeOf(pool.metadata), verdict };
  const bytes = facts.fileSystem?.freeBytes ?? (await readOwnRoot(info));
  return { bytes, metadataBytes: undefined, verdict };
}

function freeOf({ totalBytes, usedBytes }: PoolUsage): number | undefined {
  return totalBytes === undefined || usedBytes === undefined ? undefined : totalBytes - usedBytes;
}

/** What became free between two looks; a part is left out if it cannot be known. */
export interface Freed {
  readonly freedBytes?: number;
  /** Of a devicemapper pool. */
  readonly freedMetadataBytes?: number;
}

/** What became free between the two. */
export function freedBetween(before: FreeSpace | undefined, after: FreeSpace | undefined): Freed {
  const bytes = difference(before?.bytes, after?.bytes);
  const metadata = difference(before?.metadataBytes, after?.metadataBytes);
  return {
    ...(bytes === undefined ? {} : { freedBytes: bytes }),
    ...(metadata === undefined ? {} : { freedMetadataBytes: metadata }),
  };
}

function difference(before: number | undefined, after: number | undefined): number | undefined {
  return before === undefined || after === undefined ? undefined : Math.max(0, after - before);
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
