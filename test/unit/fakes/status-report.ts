import { buildStatusReport, type StatusReport } from '../../../src/doctor/status-report.ts';
import type { AgentSnapshot, StatusSnapshot } from '../../../src/doctor/snapshot.ts';
import type { ServingRecord } from '../../../src/host/files/serving-record.ts';
import type { HostStatus } from '../../../src/host/files/status.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { agent as healthyAgent, known, names, now } from './healthy-host.ts';
import { leakedSummary } from './leaked.ts';

/* Reports of `status` on a healthy host and on a degraded one. */

export const agent = healthyAgent({
  id: '42e2c12f76e6'.padEnd(64, '0'),
  image: 'registry.example:5000/rancher/agent:v1.2.11-hardened',
  // As a list shows it.
  startedAt: undefined,
  exitCode: undefined,
});
export const worker: AgentSnapshot = {
  ...agent,
  ...{ role: 'worker', name: 'rancher-agent-worker', createdAt: now - 60_000 },
};
export const parked: AgentSnapshot = {
  ...agent,
  role: 'previous',
  name: 'rancher-agent-previous',
  state: 'dead',
};

export function leaksOf(count: number, age: number): StatusSnapshot['leaks'] {
  const listed = Array.from({ length: count }, (_, index) =>
    leakedSummary({ id: String(index).padStart(64, '0'), name: 'sad_bohr', createdAt: now - age }),
  );
  return known(countLeaks(findLeaks(listed, names), now, defaultLimits));
}

export function last(parts: Partial<HostStatus>): StatusSnapshot['status'] {
  const at = new Date(now - 5_600).toISOString();
  return known({
    kind: 'valid',
    status: {
      version: 2,
      state: 'ok',
      summary: 'rancher-agent runs (registry.example:5000/rancher/agent:v1.2.11-hardened)',
      since: at,
      updatedAt: at,
      lastSuccessAt: at,
      command: 'upgrade',
      entrypointVersion: '1',
      ...parts,
    },
  });
}

export function serves(parts: Partial<ServingRecord> = {}): StatusSnapshot['serving'] {
  return known({ kind: 'fresh', record: recordOf(parts) });
}

export function recordOf(parts: Partial<ServingRecord>): ServingRecord {
  const at = (age: number): string => new Date(now - age).toISOString();
  return {
    version: 1,
    container: agent.id,
    startedAt: now - 4 * 3_600_000,
    serving: 'yes',
    since: at(3 * 3_600_000),
    updatedAt: at(20_000),
    updatedElapsed: 1,
    server: 'https://rancher.example',
    lastAnswerAt: at(130_000),
    answered: true,
    bootstrap: { runs: 1, runningSince: at(3 * 3_600_000), failuresInARow: 0, good: 0 },
    ...parts,
  };
}

export function report(parts: Partial<StatusSnapshot> = {}): StatusReport {
  const snapshot: StatusSnapshot = {
    now,
    status: last({}),
    serving: serves(),
    agents: known([agent]),
    lock: known({ state: 'free' }),
    attempts: known([]),
    leaks: leaksOf(0, 0),
    transport: known({ kept: undefined, https: 'unset' }),
    ...parts,
  };
  return buildStatusReport(snapshot, defaultLimits);
}

export const degraded = report({
  agents: known([agent, parked]),
  status: last({
    state: 'degraded',
    summary: 'rancher-agent runs, but a container cannot be removed: rancher-agent-previous',
    cause: 'cannot-remove',
    originalMessage: 'Driver devicemapper failed to remove root filesystem: Device is Busy',
    hint: 'see the runbook, "a container cannot be removed"',
    next: 'the next start of the agent, or the next upgrade, tries again',
    lastSuccessAt: new Date(now - 9 * 3_600_000).toISOString(),
    unremovable: [
      {
        name: 'rancher-agent-previous',
        id: parked.id,
        originalMessage: 'Device is Busy',
        holders: [
          {
            pid: 812,
            command: 'cadvisor',
            processes: 2,
            container: 'monitor',
            mountPoint: '/rootfs/var/lib/docker/devicemapper/mnt/x',
          },
        ],
      },
    ],
  }),
  attempts: known([
    { image: 'rancher/agent:v1.2.12', failures: 3, nextAt: new Date(now + 90_000).toISOString() },
  ]),
  leaks: leaksOf(424, 60_000),
});

export const missing: StatusSnapshot['serving'] = known({ kind: 'missing' });
