import { statfs } from 'node:fs/promises';
import type { Engine, EngineInfo } from '../engine/engine.ts';
import { judgeStorage, readStorage, type StorageVerdict } from '../host/storage.ts';
import type { Paths } from '../support/configuration.ts';
import type { Limits } from '../support/limits/limits.ts';

/** Drivers whose containers show the file system of the Docker root as their own `/`. */
const fileDrivers = /^(overlay2?|aufs|vfs|btrfs)$/;

export interface Room {
  /** Free for containers, in bytes; undefined where it can't be told. Others use the same disk: only about right. */
  readonly freeBytes: number | undefined;
  readonly verdict: StorageVerdict;
}

/** How much room there is for containers, seen from a container that mounts nothing but the engine's socket. */
export async function readRoom(engine: Engine, paths: Paths, limits: Limits): Promise<Room> {
  const info = await engine.readInfo();
  const facts = await readStorage(
    paths,
    { driver: info.storageDriver, driverStatus: info.driverStatus, dockerRoot: info.rootDirectory },
    limits,
  );
  const pool = facts.devicemapper?.data;
  if (pool !== undefined) {
    const { totalBytes, usedBytes } = pool;
    const freeBytes =
      totalBytes === undefined || usedBytes === undefined ? undefined : totalBytes - usedBytes;
    return { freeBytes, verdict: judgeStorage(facts, limits) };
  }
  const freeBytes = facts.fileSystem?.freeBytes ?? (await readOwnRoot(info));
  return { freeBytes, verdict: judgeStorage(facts, limits) };
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
