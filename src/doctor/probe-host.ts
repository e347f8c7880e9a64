import { join } from 'node:path';
import { readServerFiles } from '../agent/origin/origin.ts';
import { nextAttemptAt, readAttempts } from '../host/files/attempts.ts';
import { readHostAddresses } from '../host/addresses.ts';
import { findLargeLogs } from '../host/container-logs.ts';
import { detachesMounts, findOtherHolders } from '../host/mounts/of-containers.ts';
import { readRegistrationKey } from '../host/identity.ts';
import { readMachine, type MachineReading } from '../host/machine.ts';
import { selectMounts, type Mount } from '../host/mounts/table.ts';
import { seesHostMounts } from '../host/mounts/namespace.ts';
import { resolveInRoot } from '../host/mounts/root.ts';
import { readPoolMode, type PoolMode } from '../host/pool-mode.ts';
import { runCommand } from '../host/processes.ts';
import { readStorage, type FileSystemFacts } from '../host/storage.ts';
import type { ContainerSummary, EngineInfo } from '../engine/engine.ts';
import type { Clock } from '../support/clock.ts';
import {
  pathsBelow,
  readHttpsRule,
  type Configuration,
  type Environment,
  type Paths,
} from '../support/configuration.ts';
import { ConfigurationError } from '../support/errors.ts';
import type { Limits } from '../support/limits/limits.ts';
import { silentLog } from '../support/log.ts';
import { NotVisibleError } from './probe.ts';
import type {
  AddressSnapshot,
  AttemptSummary,
  LogSnapshot,
  MountSnapshot,
  TransportSnapshot,
} from './snapshot.ts';

const needsHostPid = 'Start it with --privileged --pid=host.';

/**
 * Where the folder of this host's agent is: mounted here, or else in the host's root, if the host's processes can be seen.
 * Undefined: it cannot be seen.
 */
export async function findRancherFolder(paths: Paths): Promise<Paths | undefined> {
  const isFolder = ({ mountPoint }: Mount): boolean => mountPoint === paths.rancher;
  const found = await selectMounts(join(paths.proc, 'self/mountinfo'), isFolder).catch(() => undefined);
  if (found !== undefined && found.mounts.length > 0) return paths;
  if (!(await seesHostMounts(paths))) return undefined;
  return pathsBelow(await resolveInRoot(`${paths.proc}/1/root`, paths.rancher), paths.proc);
}

/** @throws NotVisibleError where the folder cannot be seen */
export function requireFolder(folder: Paths | undefined): Paths {
  if (folder !== undefined) return folder;
  throw new NotVisibleError(
    '/var/lib/rancher of the host is not mounted here',
    'Start it with -v /var/lib/rancher:/var/lib/rancher.',
  );
}

/** @throws NotVisibleError without the host's processes */
export async function probeFileSystem(
  { paths, limits }: Pick<Configuration, 'paths' | 'limits'>,
  dockerRoot: string,
): Promise<FileSystemFacts> {
  if (!(await seesHostMounts(paths)))
    throw new NotVisibleError('the Docker root cannot be seen from here', needsHostPid);
  const { fileSystem } = await readStorage(paths, { driver: '', driverStatus: [], dockerRoot }, limits);
  if (fileSystem === undefined) throw new NotVisibleError(`${dockerRoot} cannot be read`, needsHostPid);
  return fileSystem;
}

/**
 * @returns undefined for another storage driver
 * @throws NotVisibleError without the host's processes; as `readPoolMode`
 */
export async function probePoolMode(
  { paths, limits }: Pick<Configuration, 'paths' | 'limits'>,
  { storageDriver, driverStatus }: EngineInfo,
): Promise<PoolMode | undefined> {
  const [, pool] = driverStatus.find(([name]) => name === 'Pool Name') ?? [];
  if (storageDriver !== 'devicemapper' || pool === undefined) return undefined;
  if (!(await seesHostMounts(paths)))
    throw new NotVisibleError('the pool cannot be seen from here', needsHostPid);
  return readPoolMode({ paths, limits, run: runCommand }, pool);
}

/** @throws NotVisibleError without the host's processes */
export async function probeLogs(
  { paths, limits }: Pick<Configuration, 'paths' | 'limits'>,
  dockerRoot: string,
  containers: readonly ContainerSummary[],
): Promise<readonly LogSnapshot[]> {
  if (!(await seesHostMounts(paths)))
    throw new NotVisibleError('the logs of containers cannot be seen from here', needsHostPid);
  // One that never started has no log, and a host that leaks has thousands of those.
  const started = containers.filter(({ state }) => state !== 'created').slice(0, limits.DOCTOR_LOGS);
  const names = new Map(started.map(({ id, name }) => [id, name]));
  const large = await findLargeLogs(paths, dockerRoot, [...names.keys()], limits.DOCTOR_LOG);
  return large.map(({ containerId, bytes, path }) => ({ name: names.get(containerId) ?? '', bytes, path }));
}

/** @throws NotVisibleError without the host's processes */
export async function probeMounts(
  options: { readonly paths: Paths; readonly limits: Limits; readonly clock: Clock },
  kernelRelease: string,
): Promise<MountSnapshot> {
  if (!(await seesHostMounts(options.paths))) {
    throw new NotVisibleError('the mounts of other processes cannot be seen from here', needsHostPid);
  }
  const kernelDetaches = await detachesMounts(options.paths, kernelRelease);
  return { ...(await findOtherHolders({ ...options, exceptPid: process.pid })), kernelDetaches };
}

export async function probeKey(folder: Paths): Promise<'present' | 'missing' | 'damaged'> {
  try {
    return (await readRegistrationKey(folder)) === undefined ? 'missing' : 'present';
  } catch (error) {
    if (error instanceof ConfigurationError) return 'damaged';
    throw error;
  }
}

/** Whether the host key was kept on this machine. */
export async function probeMachine(
  folder: Paths,
  { paths, limits }: Pick<Configuration, 'paths' | 'limits'>,
): Promise<MachineReading> {
  return readMachine(paths, folder, limits.DOCTOR_CALL);
}

/**
 * @param environment of the active agent; agent.conf counts before it
 * @returns undefined without an address that somebody gave
 * @throws NotVisibleError without the host's processes
 */
export async function probeAddress(
  { paths, limits }: Pick<Configuration, 'paths' | 'limits'>,
  environment: Environment,
): Promise<AddressSnapshot | undefined> {
  const folder = (await findRancherFolder(paths)) ?? paths;
  const { conf } = await readServerFiles({ paths: folder, log: silentLog }, limits.DOCTOR_CALL);
  const variable = 'CATTLE_AGENT_IP';
  const from = conf[variable] === undefined ? 'agent' : 'agent.conf';
  const address = conf[variable] ?? environment[variable] ?? '';
  if (address === '') return undefined;
  if (!(await seesHostMounts(paths)))
    throw new NotVisibleError('the addresses of this host cannot be seen from here', needsHostPid);
  return { address, from, isHere: (await readHostAddresses(paths)).has(address) };
}

/** To which server the keys of this host belong, and what agent.conf says about plain http. */
export async function probeTransport(
  folder: Paths,
  { limits, environment }: Pick<Configuration, 'limits' | 'environment'>,
): Promise<TransportSnapshot> {
  const place = { paths: folder, log: silentLog };
  const { kept, conf, problem } = await readServerFiles(place, limits.DOCTOR_CALL);
  if (problem !== undefined) throw new Error(problem);
  return { kept, https: readHttpsRule({ ...environment, ...conf }) };
}

/** The targets that failed and when each may be tried again. */
export async function probeAttempts(
  folder: Paths,
  limits: Limits,
  now: number,
): Promise<readonly AttemptSummary[]> {
  const { attempts } = await readAttempts(folder);
  return attempts.targets.map((record) => {
    const next = nextAttemptAt(record, limits, now);
    return {
      image: record.image,
      failures: record.failures,
      ...(next === undefined ? {} : { nextAt: new Date(next).toISOString() }),
    };
  });
}
