import type { ContainerDetails, Engine, EngineInfo } from '../../engine/engine.ts';
import { diskHint, StorageLowError, DiskUnresponsiveError } from '../../host/errors.ts';
import {
  judgeStorage,
  parseDevicemapper,
  readStorage,
  type StorageFacts,
  type StorageVerdict,
} from '../../host/storage.ts';
import type { Configuration, Paths } from '../../support/configuration.ts';
import { DeadlineError } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';

/*
 * Invariant: nothing is created on a host whose storage is about to fill up (incident §1).
 */

/**
 * Runs before the agent's replacement is created, in the worker, which sees the host's disk.
 * @throws StorageLowError, DiskUnresponsiveError
 */
export async function requireStorage({ paths, limits }: Configuration, info: EngineInfo): Promise<void> {
  requireOk(judgeStorage(await readFacts(paths, limits, info), limits));
}

async function readFacts(paths: Paths, limits: Limits, info: EngineInfo): Promise<StorageFacts> {
  try {
    return await readStorage(
      paths,
      { driver: info.storageDriver, driverStatus: info.driverStatus, dockerRoot: info.rootDirectory },
      limits,
    );
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    throw new DiskUnresponsiveError(`the storage of this host does not answer: ${error.message}`, {
      hint: diskHint('the disk of the Docker root'),
      cause: error,
    });
  }
}

/**
 * Runs before the worker itself is created. Its caller does not see the host's disk. But the engine's info shows a
 * devicemapper pool, which even one more container may corrupt. With other drivers nothing is checked here, because a caller
 * may have only seconds.
 *
 * @param own the container in which the caller runs
 * @throws StorageLowError
 */
export async function requirePoolRoom(
  engine: Pick<Engine, 'readInfo'>,
  own: Pick<ContainerDetails, 'storageDriver'> | undefined,
  limits: Limits,
): Promise<void> {
  requireOk(await judgePool(engine, own, limits));
}

/**
 * Runs before optional work: on a read-only pool each change fails halfway (invariant 10).
 * @param own the container in which the caller runs
 * @throws StorageLowError
 */
export async function requireWritablePool(
  engine: Pick<Engine, 'readInfo'>,
  own: Pick<ContainerDetails, 'storageDriver'> | undefined,
  limits: Limits,
): Promise<void> {
  const verdict = await judgePool(engine, own, limits);
  if (verdict.kind === 'ok' || !verdict.isReadOnly) return;
  throw new StorageLowError(`${poolIsFull}: ${verdict.shortages.join('; ')}`, { hint: verdict.advice });
}

/** Begins the summary of a state of this cause. */
export const poolIsFull = 'the devicemapper pool of this host is full and read-only';

/** What the engine says about its devicemapper pool; with any other driver that is fine. */
export async function judgePool(
  engine: Pick<Engine, 'readInfo'>,
  own: Pick<ContainerDetails, 'storageDriver'> | undefined,
  limits: Limits,
): Promise<StorageVerdict> {
  if (own?.storageDriver !== 'devicemapper') return { kind: 'ok' };
  const { storageDriver: driver, driverStatus } = await engine.readInfo();
  return judgeStorage(
    { driver, devicemapper: parseDevicemapper(driverStatus), fileSystem: undefined },
    limits,
  );
}

function requireOk(verdict: StorageVerdict): void {
  if (verdict.kind === 'ok') return;
  throw new StorageLowError(`the storage of this host is low: ${verdict.shortages.join('; ')}`, {
    hint: verdict.advice,
  });
}
