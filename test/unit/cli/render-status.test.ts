import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderChange, renderStatus } from '../../../src/cli/render-status.ts';
import { buildStatusReport, type StatusReport } from '../../../src/doctor/status-report.ts';
import type { AgentSnapshot, StatusSnapshot } from '../../../src/doctor/snapshot.ts';
import type { ServingRecord } from '../../../src/host/files/serving-record.ts';
import type { HostStatus } from '../../../src/host/files/status.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { agent as healthyAgent, known, names, now, unknown } from '../fakes/healthy-host.ts';
import { leakedSummary } from '../fakes/leaked.ts';

const agent = healthyAgent({
  id: '42e2c12f76e6'.padEnd(64, '0'),
  image: 'registry.example:5000/rancher/agent:v1.2.11-hardened',
  // As a list shows it.
  startedAt: undefined,
  exitCode: undefined,
});
const worker: AgentSnapshot = {
  ...agent,
  ...{ role: 'worker', name: 'rancher-agent-worker', createdAt: now - 60_000 },
};
const parked: AgentSnapshot = { ...agent, role: 'previous', name: 'rancher-agent-previous', state: 'dead' };

function leaksOf(count: number, age: number): StatusSnapshot['leaks'] {
  const listed = Array.from({ length: count }, (_, index) =>
    leakedSummary({ id: String(index).padStart(64, '0'), name: 'sad_bohr', createdAt: now - age }),
  );
  return known(countLeaks(findLeaks(listed, names), now, defaultLimits));
}

function last(parts: Partial<HostStatus>): StatusSnapshot['status'] {
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

function serves(parts: Partial<ServingRecord> = {}): StatusSnapshot['serving'] {
  return known({ kind: 'fresh', record: recordOf(parts) });
}

function recordOf(parts: Partial<ServingRecord>): ServingRecord {
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

function report(parts: Partial<StatusSnapshot> = {}): StatusReport {
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

const plain = { columns: 80, colour: false };

const degraded = report({
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

const missing: StatusSnapshot['serving'] = known({ kind: 'missing' });

describe('the verdict of status', () => {
  it.each<[string, Partial<StatusSnapshot>, StatusReport['verdict'], readonly string[], string]>([
    ['the agent serves', {}, 'healthy', [], 'healthy: the agent serves, for 3 h: https://rancher.example'],
    [
      'no record says whether the agent serves',
      { serving: missing },
      'warnings',
      [],
      'could not be checked: serving',
    ],
    [
      'the record is of before the host was started again',
      { serving: known({ kind: 'stale', record: recordOf({}) }) },
      'warnings',
      [],
      'could not be checked: serving',
    ],
    [
      'the record is of another container',
      { serving: serves({ container: 'f'.repeat(64) }) },
      'warnings',
      [],
      'could not be checked: serving',
    ],
    [
      'the state is ok, and the agent does not serve',
      { serving: serves({ serving: 'no', cause: 'bootstrap-fails', message: 'the script exits with 1' }) },
      'unhealthy',
      ['bootstrap-fails'],
      'the agent runs, but does not serve: the script exits with 1',
    ],
    [
      'nobody observes the bootstrap',
      {
        serving: serves({ serving: 'unknown', cause: 'serving-unknown', message: 'nobody observes it' }),
        status: last({
          state: 'degraded',
          cause: 'serving-unknown',
          summary: 'whether the agent serves is unknown',
        }),
      },
      'warnings',
      ['serving-unknown'],
      'whether the agent serves is unknown',
    ],
    [
      'the state is ok, and the agent has exited',
      { agents: known([{ ...agent, state: 'exited' }]) },
      'unhealthy',
      ['agent-stopped'],
      'unhealthy: rancher-agent (42e2c12f76e6) does not run: exited',
    ],
    [
      'the agent restarts again and again',
      { agents: known([{ ...agent, state: 'restarting' }]) },
      'unhealthy',
      ['agent-restarts'],
      'unhealthy: rancher-agent (42e2c12f76e6) restarts again and again',
    ],
    [
      'a cleanup has stopped the agent',
      {
        agents: known([
          { ...agent, state: 'exited' },
          { ...agent, role: 'agent-restarter', name: 'rancher-agent-restarter' },
        ]),
      },
      'healthy',
      [],
      'its agent restarter starts it again',
    ],
    ['no container is there', { agents: known([]) }, 'unhealthy', ['no-agent'], 'there is no agent'],
    [
      'only a parked agent is there',
      { agents: known([{ ...parked, state: 'exited' }]) },
      'unhealthy',
      ['no-agent'],
      'no agent; there is rancher-agent-previous (42e2c12f76e6), exited',
    ],
    [
      'a worker runs without an agent',
      { agents: known([worker]), status: last({ state: 'working', summary: 'pulling X' }), serving: missing },
      'healthy',
      [],
      'healthy: a worker is registering or replacing the agent',
    ],
    [
      'a worker runs beside the agent',
      { agents: known([agent, worker]), status: last({ state: 'working', summary: 'pulling X' }) },
      'healthy',
      [],
      'healthy: a worker is registering or replacing the agent',
    ],
    [
      'the worker was killed',
      { status: last({ state: 'working' }) },
      'warnings',
      ['worker-died'],
      'no worker runs any more',
    ],
    [
      'an upgrade failed',
      { status: last({ state: 'failed', summary: 'cannot pull' }) },
      'unhealthy',
      ['failed'],
      'cannot pull',
    ],
    [
      'an upgrade was deferred',
      { status: last({ state: 'deferred' }) },
      'warnings',
      ['deferred'],
      'deferred',
    ],
    [
      'a container cannot be removed',
      { agents: known([agent, parked]), status: last({ state: 'degraded', cause: 'cannot-remove' }) },
      'warnings',
      ['cannot-remove'],
      'the engine could not remove rancher-agent-previous (42e2c12f76e6); and 1 more, see doctor',
    ],
    ['helpers leak', { leaks: leaksOf(9, 60_000) }, 'unhealthy', ['leaking-now'], 'STILL LEAKING'],
    [
      'helpers have leaked before',
      { leaks: leaksOf(9, 6e6) },
      'warnings',
      ['leaked-before'],
      '9 leaked helpers',
    ],
    [
      'the agent keeps its state in a container',
      {
        agents: known([agent, { ...agent, role: 'state', name: 'rancher-agent-state', state: 'created' }]),
      },
      'healthy',
      [],
      'the agent serves',
    ],
    [
      'an upgrade has left something over',
      { agents: known([agent, { ...parked, state: 'exited' }]) },
      'warnings',
      ['left-over'],
      'left over from an upgrade: rancher-agent-previous (exited)',
    ],
    [
      'the engine does not answer',
      { agents: unknown('no answer within 30 s') },
      'unknown',
      [],
      'could not be checked: no answer within 30 s',
    ],
  ])('says what the doctor says when %s', (_title, parts, verdict, causes, text) => {
    const result = report(parts);
    expect(result).toMatchObject({ verdict, causes });
    expect(result.text).toContain(text);
  });
});

describe('the status on the screen', () => {
  it('is short on a healthy host', () => {
    expect(renderStatus(report(), now, plain)).toMatchInlineSnapshot(`
      "host       healthy: the agent serves, for 3 h: https://rancher.example

      state      ok, for 5.6 s (last update 2016-07-07T23:59:54.400Z)
                 rancher-agent runs
                 (registry.example:5000/rancher/agent:v1.2.11-hardened)
      serving    yes, for 3 h
                 last live answer 2 min ago; bootstrap runs for 3 h
      server     https://rancher.example

      containers agent running  rancher-agent (42e2c12f76e6)
                                registry.example:5000/rancher/agent:v1.2.11-hardened

      lock       free
      "
    `);
  });

  it('shows what, since when and what is next on a host with faults', () => {
    expect(renderStatus(degraded, now, plain)).toMatchInlineSnapshot(`
      "host       unhealthy: 424 leaked helpers, 424 in the last hour, the last one 60
                 s ago: STILL LEAKING; and 2 more, see doctor

      state      degraded, for 5.6 s (last update 2016-07-07T23:59:54.400Z)
                 rancher-agent runs, but a container cannot be removed:
                 rancher-agent-previous
      cause      cannot-remove
      message    Driver devicemapper failed to remove root filesystem: Device is Busy
      to do      see the runbook, "a container cannot be removed"
      next       the next start of the agent, or the next upgrade, tries again
      last ok    9 h ago
      stays      rancher-agent-previous (42e2c12f76e6): Device is Busy
      held by    cadvisor (pid 812 and 1 more, container monitor):
                 /rootfs/var/lib/docker/devicemapper/mnt/x
      serving    yes, for 3 h
                 last live answer 2 min ago; bootstrap runs for 3 h
      server     https://rancher.example

      containers agent    running  rancher-agent (42e2c12f76e6)
                 registry.example:5000/rancher/agent:v1.2.11-hardened
                 previous dead     rancher-agent-previous (42e2c12f76e6)
                 registry.example:5000/rancher/agent:v1.2.11-hardened

      lock       free
      attempts   rancher/agent:v1.2.12: 3 failed, next in 90 s
      leaked     424 helpers of the legacy entrypoint, 424 in the last hour, STILL
                 LEAKING; see doctor
      "
    `);
  });

  it.each([60, 80, 100])('fits %i columns, but for words that nobody can copy from two lines', (columns) => {
    for (const line of renderStatus(degraded, now, { columns, colour: false }).split('\n')) {
      expect(line.length <= columns || line.trim().split(' ').length === 1, line).toBe(true);
    }
  });

  it('has the same text in colours', () => {
    const coloured = renderStatus(degraded, now, { columns: 80, colour: true });
    expect(coloured).not.toBe(renderStatus(degraded, now, plain));
    expect(stripVTControlCharacters(coloured)).toBe(renderStatus(degraded, now, plain));
  });

  it('shows who asked for the last upgrade, and why serving is unknown', () => {
    const shown = renderStatus(
      report({ status: last({ askedBy: 'automation' }), serving: missing }),
      now,
      plain,
    );
    expect(shown).toContain('\nasked by   automation\n');
    expect(shown).toContain('\nserving    unknown: the agent does not say whether it serves\n');
    expect(shown).not.toContain('the agent serves');
  });

  it('is one line for each change where stdout is no terminal', () => {
    expect(renderChange(report())).toBe(
      '2016-07-08T00:00:00.000Z healthy: the agent serves, for 3 h: https://rancher.example | ok: rancher-agent runs (registry.example:5000/rancher/agent:v1.2.11-hardened)\n',
    );
  });
});
