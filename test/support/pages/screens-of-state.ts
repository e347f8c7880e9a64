import { renderDoctor } from '../../../src/cli/render-doctor.ts';
import { renderStatus } from '../../../src/cli/render-status.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import type { AgentSnapshot, HostSnapshot, StatusSnapshot } from '../../../src/doctor/snapshot.ts';
import { buildStatusReport } from '../../../src/doctor/status-report.ts';
import type { HostStatus } from '../../../src/host/files/status.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import {
  agent,
  diagnosisOf,
  host,
  known,
  listed,
  names,
  now,
  servingRecord,
  unknown,
} from '../../unit/fakes/healthy-host.ts';
import { leakedSummary } from '../../unit/fakes/leaked.ts';
import { screens, terminal } from './screen.ts';

const legacyImage = 'rancher/agent:v1.0.2';

/** Helpers that the loop of a legacy agent has left, one every 10 s. */
function leaked(count: number): ReturnType<typeof leakedSummary>[] {
  return Array.from({ length: count }, (_, index) =>
    leakedSummary({
      id: String(index).padStart(64, '0'),
      name: 'sad_bohr',
      createdAt: now - (index + 2) * 10_000,
    }),
  );
}

/** What the doctor shows. */
export function doctorScreens(): string {
  const show = (parts: Partial<HostSnapshot>): string => renderDoctor(diagnosisOf(parts), terminal);
  const frozen = unknown('unknown without the engine');
  const unmounted = {
    ...unknown('/var/lib/rancher of the host is not mounted here'),
    hint: 'Start it with -v /var/lib/rancher:/var/lib/rancher.',
    blind: true,
  };
  return screens([
    ['A healthy host:', show({})],
    [
      'A host that leaks as those of the incident did, with a legacy agent:',
      show({
        agents: known([agent({ image: legacyImage, ownEntrypoint: false })]),
        containers: known([listed({ image: legacyImage }), ...leaked(17)]),
        serving: known({ kind: 'missing' }),
      }),
    ],
    [
      'An engine that does not answer:',
      show({
        engine: unknown('connect to the engine: no answer within 60 s'),
        info: frozen,
        containers: frozen,
        agents: frozen,
        server: frozen,
      }),
    ],
    [
      'Started without `/var/lib/rancher`, it says what would show the rest:',
      show({ lock: unmounted, key: unmounted, status: unmounted, serving: unmounted, attempts: unmounted }),
    ],
  ]);
}

const active = agent({
  image: 'registry.example:5000/rancher/agent:v1.2.11-hardened',
  // As a list shows it.
  startedAt: undefined,
  exitCode: undefined,
});
const dead: AgentSnapshot = {
  ...active,
  role: 'previous',
  name: 'rancher-agent-previous',
  id: '7'.repeat(64),
  state: 'dead',
};
const worker: AgentSnapshot = {
  ...active,
  role: 'worker',
  name: 'rancher-agent-worker',
  id: '9'.repeat(64),
  createdAt: now - 12_000,
};

function status(parts: Partial<HostStatus>): StatusSnapshot['status'] {
  const at = new Date(now - 5_600).toISOString();
  const status: HostStatus = {
    version: 2,
    state: 'ok',
    summary: `rancher-agent runs (${active.image})`,
    since: at,
    updatedAt: at,
    lastSuccessAt: at,
    command: 'upgrade',
    entrypointVersion: '1',
    ...parts,
  };
  return known({ kind: 'valid', status });
}

const holder = {
  pid: 812,
  command: 'cadvisor',
  processes: 2,
  container: 'monitor',
  mountPoint: '/rootfs/var/lib/docker/devicemapper/mnt/x',
};
const originalMessage = 'Driver devicemapper failed to remove root filesystem: Device is Busy';

/** What `status` shows. */
export function statusScreens(): string {
  const show = (parts: Partial<StatusSnapshot>): string => {
    const snapshot: StatusSnapshot = {
      now,
      status: status({}),
      serving: known({ kind: 'fresh', record: servingRecord() }),
      agents: known([active]),
      lock: known({ state: 'free' }),
      attempts: known([]),
      leaks: known(countLeaks([], now, defaultLimits)),
      transport: host({}).transport,
      ...parts,
    };
    return renderStatus(buildStatusReport(snapshot, defaultLimits), now, terminal);
  };
  return screens([
    ['A healthy host:', show({})],
    [
      'An upgrade at work:',
      show({
        status: status({ state: 'working', summary: 'pulling rancher/agent:v1.2.12', phase: 'pull' }),
        agents: known([active, worker]),
      }),
    ],
    [
      'With everything that can be wrong at once:',
      show({
        status: status({
          state: 'degraded',
          summary: 'rancher-agent runs, but a container cannot be removed: rancher-agent-previous',
          cause: 'cannot-remove',
          originalMessage,
          hint: 'see the runbook, "a container cannot be removed"',
          next: 'the next start of the agent, or the next upgrade, tries again',
          lastSuccessAt: new Date(now - 9 * 3_600_000).toISOString(),
          unremovable: [
            { name: dead.name, id: dead.id, originalMessage: 'Device is Busy', holders: [holder] },
          ],
        }),
        agents: known([active, dead]),
        attempts: known([
          { image: 'rancher/agent:v1.2.12', failures: 3, nextAt: new Date(now + 90_000).toISOString() },
        ]),
        leaks: known(countLeaks(findLeaks(leaked(424), names), now, defaultLimits)),
      }),
    ],
  ]);
}
