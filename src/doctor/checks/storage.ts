import {
  formatSize,
  judgeStorage,
  parseDevicemapper,
  type DevicemapperFacts,
  type FileSystemFacts,
  type PoolUsage,
} from '../../host/storage.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { fine, unseenOnDisk, type Figures, type Finding } from '../finding.ts';
import type { HostSnapshot } from '../snapshot.ts';

/** The file system of the Docker root: bytes and inodes. */
export function checkStorage({ info, fileSystem }: HostSnapshot, limits: Limits): readonly Finding[] {
  const driver = info.known ? info.value.storageDriver : 'unknown driver';
  if (!fileSystem.known) {
    const root = info.known ? info.value.rootDirectory : 'the Docker root';
    const finding = unseenOnDisk('storage', root, fileSystem);
    return [
      finding.level === 'unhealthy'
        ? finding
        : { ...finding, text: `${driver}; free space unknown: ${fileSystem.why}` },
    ];
  }
  const facts = fileSystem.value;
  const text = `${driver}; free: ${describeFileSystem(facts)}`;
  const figures = figuresOf(driver, facts);
  const verdict = judgeStorage({ driver, devicemapper: undefined, fileSystem: facts }, limits);
  if (verdict.kind === 'low') {
    const rest = 'Until then no upgrade begins.';
    return [
      {
        check: 'storage',
        level: 'unhealthy',
        text,
        cause: 'storage-low',
        advice: `${verdict.advice} ${rest}`,
        figures,
      },
    ];
  }
  const tight =
    facts.freeBytes < limits.DOCTOR_FREE ||
    (facts.freeInodes !== undefined && facts.freeInodes < limits.DOCTOR_FREE_INODES);
  if (!tight) return [fine('storage', text, figures)];
  const advice = `Free space soon: below ${formatSize(limits.STORAGE_FREE)} or ${limits.STORAGE_FREE_INODES} inodes no upgrade begins.`;
  return [{ check: 'storage', level: 'warning', text, cause: 'storage-tight', advice, figures }];
}

/** A devicemapper pool: its use, whether removals are deferred, and what it is stored on. Nothing for other drivers. */
export function checkPool({ info }: HostSnapshot, limits: Limits): readonly Finding[] {
  if (!info.known || info.value.storageDriver !== 'devicemapper') return [];
  const pool = parseDevicemapper(info.value.driverStatus);
  const findings = [checkUse(pool, limits), ...checkDeferred(pool), ...checkLoopback(pool)];
  return findings;
}

function checkUse(pool: DevicemapperFacts, limits: Limits): Finding {
  const used = `${describeUse('data', pool.data)}, ${describeUse('metadata', pool.metadata)}`;
  const text = `devicemapper; used: ${used}${describeDeletions(pool)}`;
  const figures = poolFigures(pool);
  const verdict = judgeStorage({ driver: 'devicemapper', devicemapper: pool, fileSystem: undefined }, limits);
  if (verdict.kind === 'low') {
    const state = verdict.isReadOnly ? `${text}; the pool is read-only` : text;
    const { advice } = verdict;
    return { check: 'pool', level: 'unhealthy', text: state, cause: 'storage-low', advice, figures };
  }
  const tight =
    isAbove(pool.data, limits.DOCTOR_POOL_DATA) || isAbove(pool.metadata, limits.DOCTOR_POOL_METADATA);
  if (!tight) return fine('pool', text, figures);
  const advice =
    'Run `cleanup`, remove other stopped containers and unused images, or extend the pool (lvextend, --poolmetadatasize).';
  return { check: 'pool', level: 'warning', text, cause: 'storage-tight', advice, figures };
}

/** The report of the incident asked whether these would have helped: they hide busy mounts, but do not stop the loop. */
function checkDeferred(pool: DevicemapperFacts): readonly Finding[] {
  const off = [
    ...(pool.deferredRemoval === false ? ['removal'] : []),
    ...(pool.deferredDeletion === false ? ['deletion'] : []),
  ];
  if (off.length === 0) return [];
  const options = off.map((what) => `--storage-opt dm.use_deferred_${what}=true`).join(' ');
  return [
    {
      check: 'pool',
      level: 'warning',
      text: `deferred ${off.join(' and ')} off: a container whose mount is busy cannot be removed, and stays dead`,
      cause: 'deferred-off',
      advice: `Start the daemon with ${options} (kernel 3.10.0-514 or newer). It then removes busy ones later; it does not stop a leak.`,
    },
  ];
}

function checkLoopback(pool: DevicemapperFacts): readonly Finding[] {
  if (!pool.loopback) return [];
  return [
    {
      check: 'pool',
      level: 'warning',
      text: 'the pool is on loopback files: slow, and not meant for production',
      cause: 'loopback-pool',
      advice: 'Move to overlay2, or to a thin pool on a block device (dm.thinpooldev).',
    },
  ];
}

function describeFileSystem({ freeBytes, totalBytes, freeInodes, totalInodes }: FileSystemFacts): string {
  const bytes = `${formatSize(freeBytes)} of ${formatSize(totalBytes)}`;
  if (freeInodes === undefined) return bytes;
  return `${bytes}, ${formatCount(freeInodes)} of ${formatCount(totalInodes ?? 0)} inodes`;
}

/** `6108864` as `6.1 M`. */
function formatCount(count: number): string {
  if (count >= 1e6) return `${Number((count / 1e6).toPrecision(2))} M`;
  return count >= 1e4 ? `${Math.floor(count / 1e3)} k` : String(count);
}

function describeUse(what: string, usage: PoolUsage): string {
  const { usedBytes, totalBytes } = usage;
  if (usedBytes === undefined || totalBytes === undefined) return `${what} unknown`;
  return `${what} ${percentOf(usage) ?? 0} % (${formatSize(usedBytes)} of ${formatSize(totalBytes)})`;
}

/** With deferred deletion, the room of a removed container comes back when its holder exits. */
function describeDeletions({ devicesToDelete }: DevicemapperFacts): string {
  if (devicesToDelete === undefined || devicesToDelete === 0) return '';
  const devices = devicesToDelete === 1 ? '1 removed device is' : `${devicesToDelete} removed devices are`;
  return `; ${devices} still held, and will be deleted later`;
}

function percentOf({ usedBytes, totalBytes }: PoolUsage): number | undefined {
  if (usedBytes === undefined || totalBytes === undefined || totalBytes === 0) return undefined;
  return Math.floor((usedBytes / totalBytes) * 100);
}

function isAbove(usage: PoolUsage, percent: number): boolean {
  return (percentOf(usage) ?? 0) > percent;
}

function figuresOf(
  driver: string,
  { freeBytes, totalBytes, freeInodes, totalInodes }: FileSystemFacts,
): Figures {
  return {
    driver,
    freeBytes,
    totalBytes,
    ...(freeInodes === undefined ? {} : { freeInodes }),
    ...(totalInodes === undefined ? {} : { totalInodes }),
  };
}

function poolFigures(pool: DevicemapperFacts): Figures {
  const data = percentOf(pool.data);
  const metadata = percentOf(pool.metadata);
  return {
    ...(data === undefined ? {} : { dataPercent: data }),
    ...(metadata === undefined ? {} : { metadataPercent: metadata }),
    ...(pool.deferredRemoval === undefined ? {} : { deferredRemoval: pool.deferredRemoval }),
    ...(pool.deferredDeletion === undefined ? {} : { deferredDeletion: pool.deferredDeletion }),
    ...(pool.devicesToDelete === undefined ? {} : { devicesToDelete: pool.devicesToDelete }),
    loopback: pool.loopback,
  };
}
