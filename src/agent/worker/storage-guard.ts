import type { ContainerDetails, Engine, EngineInfo } from '../../engine/engine.ts';
import { diskHint, StorageLowError, StorageSilentError } from '../../host/errors.ts';
import { judgeStorage, parseDevicemapper, readStorage, type StorageFacts } from '../../host/storage.ts';
import type { Configuration, Paths } from '../../support/configuration.ts';
import { DeadlineError } from '../../support/deadline.ts';
import type { Limits } from '../../support/limits/limits.ts';

/*
 * Invariant: nothing is created on a host whose storage is about to fill up (incident §1).
 */

/**
 * Runs before the agent's replacement is created, in the worker, which sees the host's disk.
 * @throws StorageLowError, StorageSilentError
 */
export async function requireStorage({ paths, limits }: Configuration, info: EngineInfo): Promise<void> {
  requireRoom(await readFacts(paths, limits, info), limits);
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
    throw new StorageSilentError(`the storage of this host does not answer: ${error.message}`, {
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
  if (own?.storageDriver !== 'devicemapper') return;
  const { storageDriver: driver, driverStatus } = await engine.readInfo();
  requireRoom({ driver, devicemapper: parseDevicemapper(driverStatus), fileSystem: undefined }, limits);
}

function requireRoom(facts: StorageFacts, limits: Limits): void {
  const verdict = judgeStorage(facts, limits);
  if (verdict.kind === 'ok') return;
  throw new StorageLowError(`the storage of this host is low: ${verdict.shortages.join('; ')}`, {
    hint: verdict.advice,
  });
}
