import { statfs } from 'node:fs/promises';
import type { Paths } from '../support/configuration.ts';
import { withDeadline } from '../support/deadline.ts';
import type { Limits } from '../support/limits/limits.ts';
import { resolveInRoot } from './mounts/root.ts';

/** Used bytes and total bytes; each may be missing in the engine's answer. */
export interface PoolUsage {
  readonly usedBytes: number | undefined;
  readonly totalBytes: number | undefined;
}

/** What `docker info` shows about a devicemapper pool. */
export interface DevicemapperFacts {
  readonly data: PoolUsage;
  readonly metadata: PoolUsage;
  /** A pool on sparse files: not meant for production; the hosts of the incident had one. */
  readonly loopback: boolean;
  readonly deferredRemoval: boolean | undefined;
  readonly deferredDeletion: boolean | undefined;
  /** Thin devices that the engine will delete as soon as nobody holds them. Undefined: the engine does not say. */
  readonly devicesToDelete: number | undefined;
}

/** The file system of the Docker root. */
export interface FileSystemFacts {
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** Undefined on file systems that create inodes when they need them (btrfs). */
  readonly freeInodes: number | undefined;
  readonly totalInodes: number | undefined;
}

export interface StorageFacts {
  /** `Driver` of the engine's info, e.g. `overlay2`. */
  readonly driver: string;
  readonly devicemapper: DevicemapperFacts | undefined;
  /** Undefined if it cannot be seen from here. */
  readonly fileSystem: FileSystemFacts | undefined;
}

export type StorageVerdict =
  | { readonly kind: 'ok' }
  | {
      readonly kind: 'low';
      /** What is short, with numbers: `412 MB` and the like. */
      readonly shortages: readonly string[];
      /** What a person should do about it. */
      readonly advice: string;
      /** The pool's metadata is full, so that the pool is read-only: a removal fails halfway and leaves a dead container. */
      readonly isReadOnly: boolean;
    };

/**
 * Reads the storage facts.
 * @param info `Driver`, `DriverStatus` and `DockerRootDir` of the engine's info
 * @param limits HOST_FILE counts here
 * @throws DeadlineError when the disk of the Docker root does not answer
 */
export async function readStorage(
  paths: Paths,
  info: {
    readonly driver: string;
    readonly driverStatus: readonly (readonly string[])[];
    readonly dockerRoot: string;
  },
  limits: Pick<Limits, 'HOST_FILE'>,
): Promise<StorageFacts> {
  const fileSystem = await withDeadline(`ask the disk of ${info.dockerRoot}`, limits.HOST_FILE, async () =>
    readFileSystem(paths, info.dockerRoot).catch(() => undefined),
  );
  return {
    driver: info.driver,
    devicemapper: info.driver === 'devicemapper' ? parseDevicemapper(info.driverStatus) : undefined,
    fileSystem,
  };
}

/** Understands the `DriverStatus` pairs of devicemapper, from Docker 1.10 to the last engine that had it. */
export function parseDevicemapper(driverStatus: readonly (readonly string[])[]): DevicemapperFacts {
  const status = new Map(driverStatus.map(([name = '', value = '']) => [name.trim(), value.trim()]));
  return {
    data: usageOf(status, 'Data'),
    metadata: usageOf(status, 'Metadata'),
    loopback: status.has('Data loop file') || (status.get('Data file') ?? '').startsWith('/dev/loop'),
    deferredRemoval: flagOf(status.get('Deferred Removal Enabled')),
    deferredDeletion: flagOf(status.get('Deferred Deletion Enabled')),
    devicesToDelete: countOf(status.get('Deferred Deleted Device Count')),
  };
}

const factors: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  p: 1e15,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
  pi: 2 ** 50,
};

/** `39.85 MB` or `1.5GiB` in bytes (the engine writes SI units; some distributions IEC); undefined if not a size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?(?:e[+-]?\d+)?)\s*([kmgtp]i?)?b?$/i.exec(text.trim());
  const factor = factors[match?.[2]?.toLowerCase() ?? ''];
  return match?.[1] === undefined || factor === undefined ? undefined : Math.round(Number(match[1]) * factor);
}

/**
 * Whether there is room for a transaction. Refused below: STORAGE_FREE bytes or STORAGE_FREE_INODES of the Docker root,
 * above POOL_DATA_USED or POOL_METADATA_USED percent of a devicemapper pool. An unknown value is never a reason to refuse.
 */
export function judgeStorage(facts: StorageFacts, limits: Limits): StorageVerdict {
  const files = fileSystemShortages(facts.fileSystem, limits);
  const pool = poolShortages(facts.devicemapper, limits);
  if (files.length + pool.length === 0) return { kind: 'ok' };
  return {
    kind: 'low',
    shortages: [...files, ...pool],
    advice: adviceFor(facts.devicemapper, pool.length > 0),
    isReadOnly: isMetadataFull(facts.devicemapper),
  };
}

/** Whether a pool has no metadata left. The kernel makes it read-only then. */
export function isMetadataFull(facts: DevicemapperFacts | undefined): boolean {
  const { usedBytes, totalBytes } = facts?.metadata ?? {};
  if (usedBytes === undefined || totalBytes === undefined || totalBytes === 0) return false;
  // The engine rounds both to four digits.
  return usedBytes >= totalBytes * fullFrom;
}

const fullFrom = 0.999;

/** `412000000` as `412 MB`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${Number(value.toPrecision(3))} ${units[unit] ?? ''}`;
}

async function readFileSystem(paths: Paths, dockerRoot: string): Promise<FileSystemFacts> {
  const { bsize, blocks, bavail, files, ffree } = await statfs(
    await resolveInRoot(`${paths.proc}/1/root`, dockerRoot),
  );
  return {
    freeBytes: bavail * bsize,
    totalBytes: blocks * bsize,
    freeInodes: files === 0 ? undefined : ffree,
    totalInodes: files === 0 ? undefined : files,
  };
}

function usageOf(status: ReadonlyMap<string, string>, what: 'Data' | 'Metadata'): PoolUsage {
  const used = parseSize(status.get(`${what} Space Used`) ?? '');
  const total = parseSize(status.get(`${what} Space Total`) ?? '');
  const available = parseSize(status.get(`${what} Space Available`) ?? '');
  const sum = used === undefined || available === undefined ? undefined : used + available;
  return { usedBytes: used, totalBytes: total ?? sum };
}

function flagOf(text: string | undefined): boolean | undefined {
  return text === undefined ? undefined : text.toLowerCase() === 'true';
}

function countOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function fileSystemShortages(facts: FileSystemFacts | undefined, limits: Limits): string[] {
  if (facts === undefined) return [];
  const shortages: string[] = [];
  if (facts.freeBytes < limits.STORAGE_FREE) {
    shortages.push(
      `${formatSize(facts.freeBytes)} free of ${formatSize(facts.totalBytes)} on the Docker root's file system`,
    );
  }
  if (facts.freeInodes !== undefined && facts.freeInodes < limits.STORAGE_FREE_INODES) {
    shortages.push(
      `${facts.freeInodes} inodes free of ${facts.totalInodes ?? 0} on the Docker root's file system`,
    );
  }
  return shortages;
}

function poolShortages(facts: DevicemapperFacts | undefined, limits: Limits): string[] {
  if (facts === undefined) return [];
  return [
    ...poolShortage('data', facts.data, limits.POOL_DATA_USED),
    ...poolShortage('metadata', facts.metadata, limits.POOL_METADATA_USED),
  ];
}

function poolShortage(what: string, { usedBytes, totalBytes }: PoolUsage, mostPercent: number): string[] {
  if (usedBytes === undefined || totalBytes === undefined || totalBytes === 0) return [];
  const percent = (usedBytes / totalBytes) * 100;
  if (percent <= mostPercent) return [];
  return [
    `${Math.floor(percent)} % of the devicemapper pool's ${what} space used ` +
      `(${formatSize(usedBytes)} of ${formatSize(totalBytes)}, limit ${mostPercent} %)`,
  ];
}

function adviceFor(devicemapper: DevicemapperFacts | undefined, poolIsLow: boolean): string {
  const others = 'remove stopped containers and unused images';
  if (devicemapper === undefined || !poolIsLow) return `${others}, then try again`;
  const extend = devicemapper.loopback
    ? 'the pool is on loopback files, which cannot be extended: move to overlay2 or a thin pool'
    : 'extend the pool, which works while it is in use (lvextend; with --poolmetadatasize for metadata)';
  if (!isMetadataFull(devicemapper)) return `${cleanUp}, then ${others}; ${extend}`;
  const readOnly = 'the pool is read-only, and each removal would leave a dead container';
  if (devicemapper.loopback) return `${readOnly}; ${extend}`;
  return (
    `${readOnly}. First ${extend}. Then restart the agent, whose root became read-only ` +
    `(docker restart rancher-agent). Then ${cleanUp}`
  );
}

const cleanUp = 'remove leaked helpers (docker exec -it rancher-agent /run.sh cleanup)';
