import type { ServingRecord } from '../../../src/host/files/serving-record.ts';
import type { ContainerSummary } from '../../../src/engine/engine.ts';
import { featuresOf } from '../../../src/engine/features.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import { diagnose, type Diagnosis } from '../../../src/doctor/diagnosis.ts';
import type { AgentSnapshot, HostSnapshot, Seen } from '../../../src/doctor/snapshot.ts';
import { defaultLimits, type Limits } from '../../../src/support/limits/limits.ts';
import { names } from './role-names.ts';

export { names };

export const now = Date.parse('2016-07-08T00:00:00Z');
const agentId = 'a'.repeat(64);
const managed = {
  'io.rancher.container.system': 'rancher-agent',
  'io.rancher.agent-entrypoint.version': '1',
};

export function known<T>(value: T): Seen<T> {
  return { known: true, value };
}

export function unknown(why: string): Extract<Seen<never>, { known: false }> {
  return { known: false, why, blind: false };
}

/** The agent of a healthy host. */
export function agent(parts: Partial<AgentSnapshot> = {}): AgentSnapshot {
  return {
    role: 'agent',
    managed: true,
    state: 'running',
    hangs: false,
    id: agentId,
    name: 'rancher-agent',
    image: 'rancher/agent:v1.2.11-hardened',
    ownEntrypoint: true,
    createdAt: now - 3 * 3_600_000,
    startedAt: now - 3 * 3_600_000,
    finishedAt: undefined,
    exitCode: 0,
    restartCount: 0,
    server: 'https://rancher.example/v1',
    ...parts,
  };
}

/** A container in the list. */
export function listed(parts: Partial<ContainerSummary> = {}): ContainerSummary {
  return {
    id: agentId,
    name: 'rancher-agent',
    image: 'rancher/agent:v1.2.11-hardened',
    imageId: 'sha256:1',
    command: '/run.sh run',
    state: 'running',
    labels: managed,
    createdAt: now - 3 * 3_600_000,
    ...parts,
  };
}

/** What the agent of a healthy host says of itself. */
export function servingRecord(parts: Partial<ServingRecord> = {}): ServingRecord {
  const since = new Date(now - 3 * 3_600_000).toISOString();
  return {
    version: 1,
    container: agentId,
    startedAt: now - 3 * 3_600_000,
    serving: 'yes',
    since,
    updatedAt: new Date(now - 30_000).toISOString(),
    updatedElapsed: 1,
    server: 'https://rancher.example',
    lastAnswerAt: new Date(now - 200_000).toISOString(),
    answered: true,
    bootstrap: { runs: 1, runningSince: since, runningSinceElapsed: 0, failuresInARow: 0, good: 0 },
    ...parts,
  };
}

/** A host on which nothing is wrong, but for what a test says. */
export function host(parts: Partial<HostSnapshot> = {}): HostSnapshot {
  const containers = parts.containers ?? known([listed()]);
  return {
    now,
    engine: known({
      version: { engine: '20.10.24', api: '1.41' },
      features: featuresOf('1.41'),
      tookMs: 3,
    }),
    info: known({
      operatingSystem: 'Debian',
      rootDirectory: '/var/lib/docker',
      storageDriver: 'overlay2',
      driverStatus: [],
      text: '',
    }),
    fileSystem: known({ freeBytes: 12e9, totalBytes: 100e9, freeInodes: 6e6, totalInodes: 7e6 }),
    logs: known([]),
    poolMode: known(undefined),
    containers,
    leaks: containers.known
      ? known(countLeaks(findLeaks(containers.value, names), now, defaultLimits))
      : containers,
    agents: known([agent()]),
    mounts: known({ holders: [], complete: true, kernelDetaches: true }),
    lock: known({ state: 'free' }),
    key: known('present'),
    machine: known({ kind: 'same' }),
    address: known(undefined),
    server: known({
      url: 'https://rancher.example/v1',
      answer: { kind: 'answered', credentials: { state: 'live' }, skewMs: 300, tookMs: 12 },
    }),
    status: known({
      kind: 'valid',
      status: {
        version: 2,
        state: 'ok',
        summary: 'rancher-agent runs',
        since: new Date(now - 3 * 3_600_000).toISOString(),
        updatedAt: new Date(now - 3 * 3_600_000).toISOString(),
        command: 'register',
        entrypointVersion: '1',
      },
    }),
    serving: known({ kind: 'fresh', record: servingRecord() }),
    attempts: known([]),
    transport: known({
      kept: {
        origin: 'https://rancher.example',
        since: new Date(now - 3 * 3_600_000).toISOString(),
        by: 'registration',
      },
      https: 'unset',
    }),
    ...parts,
  };
}

export function diagnosisOf(parts: Partial<HostSnapshot>, limits: Limits = defaultLimits): Diagnosis {
  return diagnose(host(parts), limits, 400);
}
