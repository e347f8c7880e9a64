import type { ConfiguredHost } from '../agent/host.ts';
import type { RoleNames } from '../agent/identity/roles.ts';
import { readServing } from '../agent/run/serving/file.ts';
import { countLeaks, type LeakFigures } from '../cleanup/leak-figures.ts';
import { findLeaks } from '../cleanup/leaks.ts';
import { listLeaks } from '../cleanup/remove.ts';
import { containerStates, type ContainerSummary, type Engine } from '../engine/engine.ts';
import { readLockHolder } from '../host/files/lock.ts';
import { readStatus } from '../host/files/status.ts';
import type { Environment } from '../support/configuration.ts';
import { deadlineIn } from '../support/deadline.ts';
import { activeRoles } from './checks/agents.ts';
import { inspectOthers, inspectRoles, listAgents, ranked, type ProbedAgent } from './probe-agents.ts';
import {
  findRancherFolder,
  probeAddress,
  probeAttempts,
  probeFileSystem,
  probeKey,
  probeLogs,
  probeMachine,
  probeMounts,
  probePoolMode,
  probeTransport,
  requireFolder,
} from './probe-host.ts';
import { probeServer } from './probe-server.ts';
import { probe, unknownBecause, type ProbeLimits } from './probe.ts';
import type { EngineSnapshot, HostSnapshot, Seen, StatusSnapshot } from './snapshot.ts';

export interface Collection extends Pick<
  ConfiguredHost,
  'configuration' | 'names' | 'clock' | 'secrets' | 'signal'
> {
  /** Connects with one try per call, each as long as a probe may take, because an overloaded engine needs time. */
  readonly connect: () => Promise<Engine>;
  /** As `uname -r` prints it. */
  readonly kernelRelease: string;
}

export interface StatusCollection extends Omit<Collection, 'kernelRelease' | 'secrets' | 'names'> {
  /** The names of this host's containers: in an agent those that its own container was created with. */
  readonly findNames: (engine: Engine) => Promise<RoleNames>;
  /** Counts the leaked helpers without a new list, e.g. from the last one. */
  readonly leaks?: (count: () => Promise<Seen<LeakFigures>>) => Promise<Seen<LeakFigures>>;
}

/** Where a Docker root usually is. */
const usualRoot = '/var/lib/docker';

/**
 * Collects the doctor's whole snapshot: it only reads, and takes no longer than DOCTOR_TOTAL. A fact that could not be read
 * in time, or from here, is unknown in the snapshot. Probes that do not need the engine do not wait for it.
 */
export async function collect(collection: Collection): Promise<HostSnapshot> {
  const { configuration, clock } = collection;
  const { limits } = configuration;
  const allowed = limitsOf(collection, limits.DOCTOR_CALL);
  const [engine, folder, mounts] = await Promise.all([
    collectEngine(collection, allowed),
    collectFolder(collection, allowed),
    probe('read the mounts', allowed, async () =>
      probeMounts({ paths: configuration.paths, limits, clock }, collection.kernelRelease),
    ),
  ]);
  return { now: clock.now(), ...engine, ...folder, mounts };
}

/** Collects the part of the snapshot that costs little. A person waits for it, so the limit for files is STATUS_FILE. */
export async function collectStatus(collection: StatusCollection): Promise<StatusSnapshot> {
  const { configuration, clock } = collection;
  const { limits } = configuration;
  const [engine, folder] = await Promise.all([
    collectRoles(collection, limitsOf(collection, limits.DOCTOR_CALL)),
    collectFolder(collection, limitsOf(collection, limits.STATUS_FILE)),
  ]);
  return { now: clock.now(), ...engine, ...folder };
}

function limitsOf(
  { configuration, clock, signal }: StatusCollection | Collection,
  each: number,
): ProbeLimits {
  return { each, total: deadlineIn(configuration.limits.DOCTOR_TOTAL, clock), signal };
}

type RolesPart = Pick<StatusSnapshot, 'agents' | 'leaks'>;

/** The containers in a role by a list of their names alone, and the leaked helpers. */
async function collectRoles(collection: StatusCollection, allowed: ProbeLimits): Promise<RolesPart> {
  const { connect, findNames, configuration, clock } = collection;
  const connected = await probe('connect to the engine', allowed, async () => {
    const engine = await connect();
    return { engine, names: await findNames(engine) };
  });
  if (!connected.known) return { agents: connected, leaks: connected };
  const { engine, names } = connected.value;
  const count = async (): Promise<Seen<LeakFigures>> =>
    probe('list leaked helpers', allowed, async () =>
      countLeaks(await listLeaks(engine, names), clock.now(), configuration.limits),
    );
  const [agents, leaks] = await Promise.all([
    probe('list the containers by role', allowed, async () => listAgents(engine, names)),
    collection.leaks === undefined ? count() : collection.leaks(count),
  ]);
  return { agents, leaks };
}

type EnginePart = Pick<
  HostSnapshot,
  | 'engine'
  | 'info'
  | 'fileSystem'
  | 'poolMode'
  | 'logs'
  | 'containers'
  | 'agents'
  | 'leaks'
  | 'server'
  | 'address'
>;

async function collectEngine(collection: Collection, allowed: ProbeLimits): Promise<EnginePart> {
  const { clock, configuration, names } = collection;
  const begun = clock.elapsed();
  // The Docker root is usually there, and an engine that does not answer must not hide a full disk.
  const usual = collectFileSystem(collection, allowed, usualRoot);
  const connected = await probe('connect to the engine', allowed, collection.connect);
  if (!connected.known) {
    const unknown = unknownBecause('unknown without the engine');
    // `docker exec` gives us the agent's own environment.
    const server = hasKeys(configuration.environment)
      ? await collectServer(collection, allowed, configuration.environment)
      : unknownBecause("unknown without the engine, which has the agent's keys");
    const address = await collectAddress(collection, allowed, configuration.environment);
    return {
      engine: connected,
      info: unknown,
      containers: unknown,
      agents: unknown,
      leaks: unknown,
      logs: unknown,
      poolMode: unknown,
      fileSystem: await usual,
      server,
      address,
    };
  }
  const engine = connected.value;
  const snapshot: EngineSnapshot = {
    version: engine.version,
    features: engine.features,
    tookMs: clock.elapsed() - begun,
  };
  const [info, containers] = await Promise.all([
    probe('read the info of the engine', allowed, async () => engine.readInfo()),
    probe('list containers', allowed, async () => engine.listContainers({ states: containerStates })),
  ]);
  const [agents, fileSystem, logs, poolMode] = await Promise.all([
    containers.known
      ? collectAgents(collection, allowed, engine, containers.value)
      : Promise.resolve(unknownBecause('unknown without the list of containers')),
    info.known && info.value.rootDirectory !== usualRoot
      ? collectFileSystem(collection, allowed, info.value.rootDirectory)
      : usual,
    collectLogs(collection, allowed, info, containers),
    info.known
      ? probe('ask about the pool', allowed, async () => probePoolMode(configuration, info.value))
      : info,
  ]);
  const environment = environmentOf(agents) ?? configuration.environment;
  const [server, address] = await Promise.all([
    collectServer(collection, allowed, environment),
    collectAddress(collection, allowed, environment),
  ]);
  return {
    engine: { known: true, value: snapshot },
    info,
    containers,
    leaks: containers.known
      ? {
          known: true,
          value: countLeaks(findLeaks(containers.value, names), clock.now(), configuration.limits),
        }
      : containers,
    fileSystem,
    logs,
    poolMode,
    server,
    address,
    agents: agents.known ? { known: true, value: agents.value.map(({ agent }) => agent) } : agents,
  };
}

/** Two probes: however many containers claim to be agents, the answers about those in a role do not wait for them. */
async function collectAgents(
  { names, configuration }: Collection,
  allowed: ProbeLimits,
  engine: Engine,
  listed: readonly ContainerSummary[],
): Promise<Seen<readonly ProbedAgent[]>> {
  const [inRoles, others] = await Promise.all([
    probe('inspect the containers by role', allowed, async () => inspectRoles(engine, listed, names)),
    probe('inspect agents under other names', allowed, async () =>
      inspectOthers(engine, listed, names, configuration.limits),
    ),
  ]);
  if (!inRoles.known || !others.known) return inRoles;
  return { known: true, value: ranked([...inRoles.value, ...others.value], names) };
}

async function collectFileSystem(
  { configuration }: Collection,
  allowed: ProbeLimits,
  dockerRoot: string,
): Promise<HostSnapshot['fileSystem']> {
  return probe('read the Docker root', allowed, async () => probeFileSystem(configuration, dockerRoot));
}

async function collectLogs(
  { configuration }: Collection,
  allowed: ProbeLimits,
  info: HostSnapshot['info'],
  containers: HostSnapshot['containers'],
): Promise<HostSnapshot['logs']> {
  if (!info.known) return info;
  if (!containers.known) return containers;
  return probe('read the sizes of logs', allowed, async () =>
    probeLogs(configuration, info.value.rootDirectory, containers.value),
  );
}

async function collectServer(
  { configuration, clock, secrets, signal }: Collection,
  allowed: ProbeLimits,
  environment: Environment,
): Promise<HostSnapshot['server']> {
  const { paths, limits } = configuration;
  return probe('ask the server', allowed, async () => {
    const folder = (await findRancherFolder(paths)) ?? paths;
    return probeServer({ environment, paths: folder, limits, clock, secrets, signal });
  });
}

async function collectAddress(
  { configuration }: Collection,
  allowed: ProbeLimits,
  environment: Environment,
): Promise<HostSnapshot['address']> {
  // Without an agent nobody uses an address.
  if (!hasKeys(environment)) return { known: true, value: undefined };
  return probe('read the addresses of this host', allowed, async () =>
    probeAddress(configuration, environment),
  );
}

/**
 * The environment of the active agent, which has the keys; without one, that of a managed container that can become the
 * agent. The doctor asks no server that an unmanaged container names.
 */
function environmentOf(agents: Seen<readonly ProbedAgent[]>): Environment | undefined {
  if (!agents.known) return undefined;
  const managed = agents.value.filter(({ agent }) => agent.managed && keyRoles.includes(agent.role));
  const active = managed.filter(({ agent }) => activeRoles.includes(agent.role));
  const running = active.find(({ agent }) => agent.state === 'running');
  return (running ?? [...active, ...managed].find(({ environment }) => hasKeys(environment)))?.environment;
}

/** The roles whose containers have the agent keys. */
const keyRoles: readonly ProbedAgent['agent']['role'][] = [...activeRoles, 'next', 'previous'];

function hasKeys(environment: Environment): boolean {
  return (environment['CATTLE_ACCESS_KEY'] ?? '') !== '';
}

type FolderPart = Pick<
  HostSnapshot,
  'lock' | 'key' | 'machine' | 'status' | 'serving' | 'attempts' | 'transport'
>;

async function collectFolder(
  { configuration, clock }: Pick<Collection, 'configuration' | 'clock'>,
  allowed: ProbeLimits,
): Promise<FolderPart> {
  const { limits, paths } = configuration;
  const found = await probe('find /var/lib/rancher', allowed, async () =>
    requireFolder(await findRancherFolder(paths)),
  );
  if (!found.known) {
    const rest = { status: found, serving: found, attempts: found, transport: found };
    return { lock: found, key: found, machine: found, ...rest };
  }
  const folder = found.value;
  const [lock, key, machine, status, serving, attempts, transport] = await Promise.all([
    probe('read the lock', allowed, async () => readLockHolder(folder.entrypoint, limits, clock.now())),
    probe('read the registration key', allowed, async () => probeKey(folder)),
    probe('read which machine the host key belongs to', allowed, async () =>
      probeMachine(folder, configuration),
    ),
    probe('read the status', allowed, async () => readStatus(folder)),
    probe('read whether the agent serves', allowed, async () => readServing(folder, clock, limits)),
    probe('read the failed attempts', allowed, async () => probeAttempts(folder, limits, clock.now())),
    probe('read the server of this host', allowed, async () => probeTransport(folder, configuration)),
  ]);
  return { lock, key, machine, status, serving, attempts, transport };
}
