import type { RoleNames } from '../agent/identity/roles.ts';
import { readServing } from '../agent/run/serving/file.ts';
import { containerStates, type Engine } from '../engine/engine.ts';
import { readLockHolder } from '../host/files/lock.ts';
import { readStatus } from '../host/files/status.ts';
import type { Clock } from '../support/clock.ts';
import type { Configuration, Environment } from '../support/configuration.ts';
import { deadlineIn } from '../support/deadline.ts';
import type { Secrets } from '../support/secrets.ts';
import { lookAtAgents, type AgentSeen } from './probe-agents.ts';
import {
  findRancherFolder,
  lookAtAttempts,
  lookAtFileSystem,
  lookAtKey,
  lookAtMounts,
  requireFolder,
} from './probe-host.ts';
import { lookAtServer } from './probe-server.ts';
import { look, unknownBecause, type Bounds } from './probe.ts';
import type { EngineRecord, HostRecord, Seen } from './snapshot.ts';

export interface Examination {
  readonly configuration: Configuration;
  readonly names: RoleNames;
  readonly clock: Clock;
  readonly secrets: Secrets;
  readonly signal: AbortSignal;
  /** Connects with one try per call, each as long as a look may take: an almost dead engine needs its time. */
  readonly connect: () => Promise<Engine>;
  /** As `uname -r` says. */
  readonly kernelRelease: string;
}

/** Where a Docker root is, if the engine doesn't say. */
const usualRoot = '/var/lib/docker';

/**
 * Looks at everything, reading only, and never longer than DOCTOR_TOTAL; what could not be known in time, or from here,
 * is said so. What doesn't need the engine doesn't wait for it.
 */
export async function examine(examination: Examination): Promise<HostRecord> {
  const { configuration, clock, signal } = examination;
  const { limits } = configuration;
  const bounds: Bounds = {
    each: limits.DOCTOR_CALL,
    total: deadlineIn(limits.DOCTOR_TOTAL, clock),
    signal,
  };
  const [engine, host, mounts] = await Promise.all([
    examineEngine(examination, bounds),
    examineFolder(examination, bounds),
    look('look at the mounts', bounds, async () =>
      lookAtMounts({ paths: configuration.paths, limits, clock }, examination.kernelRelease),
    ),
  ]);
  return { now: clock.now(), ...engine, ...host, mounts };
}

type EnginePart = Pick<HostRecord, 'engine' | 'info' | 'fileSystem' | 'containers' | 'agents' | 'server'>;

async function examineEngine(examination: Examination, bounds: Bounds): Promise<EnginePart> {
  const { clock, configuration, names } = examination;
  const begun = clock.elapsed();
  // Mostly it is there, and an engine that is silent must not hide a full disk.
  const usual = examineFileSystem(examination, bounds, usualRoot);
  const connected = await look('connect to the engine', bounds, examination.connect);
  if (!connected.known) {
    const unknown = unknownBecause('unknown without the engine');
    // `docker exec` gives us the agent's own environment.
    const server = hasKeys(configuration.environment)
      ? await examineServer(examination, bounds, configuration.environment)
      : unknownBecause("unknown without the engine, which has the agent's keys");
    return {
      engine: connected,
      info: unknown,
      containers: unknown,
      agents: unknown,
      fileSystem: await usual,
      server,
    };
  }
  const engine = connected.value;
  const record: EngineRecord = {
    version: engine.version,
    features: engine.features,
    tookMs: clock.elapsed() - begun,
  };
  const [info, containers] = await Promise.all([
    look('ask the engine about itself', bounds, async () => engine.readInfo()),
    look('list containers', bounds, async () => engine.listContainers({ states: containerStates })),
  ]);
  const [agents, fileSystem] = await Promise.all([
    containers.known
      ? look('inspect agents', bounds, async () =>
          lookAtAgents(engine, containers.value, names, configuration.limits),
        )
      : Promise.resolve(unknownBecause('unknown without the list of containers')),
    info.known && info.value.rootDirectory !== usualRoot
      ? examineFileSystem(examination, bounds, info.value.rootDirectory)
      : usual,
  ]);
  const server = await examineServer(examination, bounds, environmentOf(agents) ?? configuration.environment);
  return {
    engine: { known: true, value: record },
    info,
    containers,
    fileSystem,
    server,
    agents: agents.known ? { known: true, value: agents.value.map((agent) => agent.record) } : agents,
  };
}

async function examineFileSystem(
  { configuration }: Examination,
  bounds: Bounds,
  dockerRoot: string,
): Promise<HostRecord['fileSystem']> {
  return look('look at the Docker root', bounds, async () => lookAtFileSystem(configuration, dockerRoot));
}

async function examineServer(
  { configuration, clock, secrets, signal }: Examination,
  bounds: Bounds,
  environment: Environment,
): Promise<HostRecord['server']> {
  const { paths, limits } = configuration;
  return look('ask the server', bounds, async () => {
    const folder = (await findRancherFolder(paths)) ?? paths;
    return lookAtServer({ environment, paths: folder, limits, clock, secrets, signal });
  });
}

/** The environment with the keys: of the agent in office, else of whoever has some. */
function environmentOf(agents: Seen<readonly AgentSeen[]>): Environment | undefined {
  if (!agents.known) return undefined;
  return agents.value.find(({ environment }) => hasKeys(environment))?.environment;
}

function hasKeys(environment: Environment): boolean {
  return (environment['CATTLE_ACCESS_KEY'] ?? '') !== '';
}

type FolderPart = Pick<HostRecord, 'lock' | 'key' | 'status' | 'serving' | 'attempts'>;

async function examineFolder({ configuration, clock }: Examination, bounds: Bounds): Promise<FolderPart> {
  const { limits, paths } = configuration;
  const found = await look('find /var/lib/rancher', bounds, async () =>
    requireFolder(await findRancherFolder(paths)),
  );
  if (!found.known) return { lock: found, key: found, status: found, serving: found, attempts: found };
  const folder = found.value;
  const [lock, key, status, serving, attempts] = await Promise.all([
    look('look at the lock', bounds, async () => readLockHolder(folder.entrypoint, limits, clock.now())),
    look('look for the registration key', bounds, async () => lookAtKey(folder)),
    look('read the status', bounds, async () => readStatus(folder)),
    look('read whether the agent serves', bounds, async () => readServing(folder, clock, limits)),
    look('read the attempts', bounds, async () => lookAtAttempts(folder, limits, clock.now())),
  ]);
  return { lock, key, status, serving, attempts };
}
