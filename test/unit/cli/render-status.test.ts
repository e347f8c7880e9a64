import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderChange, renderStatus } from '../../../src/cli/render-status.ts';
import { judgeHost } from '../../../src/commands/host-verdict.ts';
import type { ServingRecord } from '../../../src/agent/run/serving/record.ts';
import type { RoleHolder, StatusFacts, StatusReport } from '../../../src/commands/status-report.ts';
import type { HostStatus } from '../../../src/host/files/status.ts';
import { countLeaks } from '../../../src/cleanup/leak-figures.ts';
import { findLeaks } from '../../../src/cleanup/leaks.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { names, now } from '../fakes/healthy-host.ts';
import { leakedSummary } from '../fakes/leaked.ts';

const agent: RoleHolder = {
  role: 'agent',
  name: 'rancher-agent',
  id: '42e2c12f76e6'.padEnd(64, '0'),
  image: 'registry.example:5000/rancher/agent:v1.2.11-hardened',
  state: 'running',
};
const worker: RoleHolder = { ...agent, role: 'worker', name: 'rancher-agent-worker' };
const corpse: RoleHolder = { ...agent, role: 'previous', name: 'rancher-agent-previous', state: 'dead' };

function leaksOf(count: number, age: number): StatusFacts['leaks'] {
  const listed = Array.from({ length: count }, (_, index) =>
    leakedSummary({ id: String(index).padStart(64, '0'), name: 'sad_bohr', createdAt: now - age }),
  );
  return countLeaks(findLeaks(listed, names), now, defaultLimits);
}

function last(parts: Partial<HostStatus>): StatusFacts['status'] {
  const at = new Date(now - 5_600).toISOString();
  return {
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
  };
}

function serves(parts: Partial<ServingRecord> = {}): StatusFacts['serving'] {
  return { kind: 'fresh', record: recordOf(parts) };
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

function report(parts: Partial<StatusFacts> = {}): StatusReport {
  const facts: StatusFacts = {
    status: last({}),
    serving: serves(),
    containers: [agent],
    lock: { state: 'free' },
    attempts: [],
    leaks: leaksOf(0, 0),
    ...parts,
  };
  return { version: 2, verdict: judgeHost(facts), checkedAt: new Date(now).toISOString(), ...facts };
}

const plain = { columns: 80, colour: false };

const degraded = report({
  containers: [agent, corpse],
  status: last({
    state: 'degraded',
    summary: "rancher-agent runs, but a container can't be removed: rancher-agent-previous",
    originalMessage: 'Driver devicemapper failed to remove root filesystem: Device is Busy',
    hint: 'see the runbook, "a container cannot be removed"',
    next: 'the next start of the agent, or the next upgrade, tries again',
    lastSuccessAt: new Date(now - 9 * 3_600_000).toISOString(),
    unremovable: [
      {
        name: 'rancher-agent-previous',
        id: corpse.id,
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
  attempts: [{ image: 'rancher/agent:v1.2.12', failures: 3, nextAt: new Date(now + 90_000).toISOString() }],
  leaks: leaksOf(424, 60_000),
});

describe('the verdict on a host', () => {
  it.each<[string, Partial<StatusFacts>, string, string]>([
    ['all is well', {}, 'well', 'the agent serves, and nothing is left over'],
    [
      'nobody says whether the agent serves',
      { serving: { kind: 'missing' } },
      'well',
      'the agent runs, and nothing is left over',
    ],
    [
      'what the agent said is of before the host was started again',
      { serving: { kind: 'stale', record: recordOf({}) } },
      'well',
      'the agent runs, and nothing is left over',
    ],
    [
      'another container said that it serves',
      { serving: serves({ container: 'f'.repeat(64) }) },
      'well',
      'the agent runs, and nothing is left over',
    ],
    [
      'the state says ok, and the agent does not serve',
      { serving: serves({ serving: 'no', cause: 'bootstrap-fails', message: 'the script exits with 1' }) },
      'look',
      'the agent runs, but does not serve: the script exits with 1',
    ],
    [
      'nobody observes the bootstrap',
      {
        serving: serves({ serving: 'unknown', cause: 'serving-unknown', message: 'nobody looks' }),
        status: last({
          state: 'degraded',
          cause: 'serving-unknown',
          summary: 'whether the agent serves is not known',
        }),
      },
      'look',
      'the agent runs; whether the agent serves is not known',
    ],
    [
      'the status says ok and the agent is dead',
      { containers: [{ ...agent, state: 'exited' }] },
      'bad',
      'NO agent runs: rancher-agent is exited',
    ],
    [
      'a clean-up has stopped the agent',
      {
        containers: [
          { ...agent, state: 'exited' },
          { ...agent, role: 'agent-restarter', name: 'rancher-agent-restarter' },
        ],
      },
      'busy',
      'its agent restarter starts it again',
    ],
    ['nothing is there', { containers: [] }, 'bad', 'NO agent: this host is not registered'],
    [
      'only one set aside',
      { containers: [{ ...corpse, state: 'exited' }] },
      'bad',
      'NO agent runs on this host',
    ],
    [
      'an upgrade is on its way',
      { containers: [agent, worker], status: last({ state: 'working', summary: 'pulling X' }) },
      'busy',
      'pulling X; the agent runs',
    ],
    [
      'an upgrade is in its middle',
      { containers: [worker], status: last({ state: 'working', summary: 'replacing' }) },
      'busy',
      'replacing; no agent runs for the moment',
    ],
    ['the worker was killed', { status: last({ state: 'working' }) }, 'look', 'whoever was at work is gone'],
    ['an upgrade failed', { status: last({ state: 'failed' }) }, 'look', 'what was last asked for failed'],
    ['it was put off', { status: last({ state: 'deferred' }) }, 'look', 'was put off'],
    [
      'a corpse stays',
      { status: last({ state: 'degraded', cause: 'cannot-remove' }) },
      'look',
      "a container can't be removed",
    ],
    ['helpers leak', { leaks: leaksOf(9, 60_000) }, 'look', 'helpers are leaking'],
    ['helpers leaked', { leaks: leaksOf(9, 6e6) }, 'well', 'nothing is left over'],
    [
      'it keeps its state in a container',
      { containers: [agent, { ...agent, role: 'state', name: 'rancher-agent-state', state: 'created' }] },
      'well',
      'nothing is left over',
    ],
    [
      'something is left over',
      { containers: [agent, { ...corpse, state: 'exited' }] },
      'look',
      'rancher-agent-previous is left over',
    ],
    [
      'nothing was ever said',
      { status: { kind: 'missing' }, serving: { kind: 'missing' } },
      'well',
      'the agent runs',
    ],
    [
      'the engine is silent',
      { containers: { problem: 'no answer within 30 s' } },
      'unknown',
      'not known: no answer within 30 s',
    ],
  ])('%s', (_title, parts, word, sentence) => {
    const { verdict } = report(parts);
    expect(verdict.word).toBe(word);
    expect(verdict.sentence).toContain(sentence);
  });
});

describe('the status on the screen', () => {
  it('is short where all is well', () => {
    expect(renderStatus(report(), now, plain)).toMatchInlineSnapshot(`
      "host       the agent serves, and nothing is left over

      state      ok, for 5.6 s (last word 2016-07-07T23:59:54.400Z)
                 rancher-agent runs
                 (registry.example:5000/rancher/agent:v1.2.11-hardened)
      serving    yes, for 3 h
                 last live answer 2 min ago; bootstrap runs for 3 h

      containers agent running  rancher-agent (42e2c12f76e6)
                                registry.example:5000/rancher/agent:v1.2.11-hardened

      lock       free
      "
    `);
  });

  it('answers what, since when and what next where something is wrong', () => {
    expect(renderStatus(degraded, now, plain)).toMatchInlineSnapshot(`
      "host       the agent serves, but a container can't be removed

      state      degraded, for 5.6 s (last word 2016-07-07T23:59:54.400Z)
                 rancher-agent runs, but a container can't be removed:
                 rancher-agent-previous
      message    Driver devicemapper failed to remove root filesystem: Device is Busy
      to do      see the runbook, "a container cannot be removed"
      next       the next start of the agent, or the next upgrade, tries again
      last ok    9 h ago
      stays      rancher-agent-previous (42e2c12f76e6): Device is Busy
      held by    cadvisor (pid 812 and 1 more, container monitor):
                 /rootfs/var/lib/docker/devicemapper/mnt/x
      serving    yes, for 3 h
                 last live answer 2 min ago; bootstrap runs for 3 h

      containers agent    running  rancher-agent (42e2c12f76e6)
                 registry.example:5000/rancher/agent:v1.2.11-hardened
                 previous dead     rancher-agent-previous (42e2c12f76e6)
                 registry.example:5000/rancher/agent:v1.2.11-hardened

      lock       free
      attempts   rancher/agent:v1.2.12: 3 failed, next in 90 s
      leaked     424 helpers of older entrypoints, 424 in the last hour, STILL
                 LEAKING; see doctor
      "
    `);
  });

  it.each([60, 80, 100])('fits %i columns, but for words that would be useless in two', (columns) => {
    for (const line of renderStatus(degraded, now, { columns, colour: false }).split('\n')) {
      expect(line.length <= columns || line.trim().split(' ').length === 1, line).toBe(true);
    }
  });

  it('says the same in colours', () => {
    const coloured = renderStatus(degraded, now, { columns: 80, colour: true });
    expect(coloured).not.toBe(renderStatus(degraded, now, plain));
    expect(stripVTControlCharacters(coloured)).toBe(renderStatus(degraded, now, plain));
  });

  it('says who asked for the last upgrade, and why nothing is known of serving', () => {
    const shown = renderStatus(
      report({ status: last({ askedBy: 'automation' }), serving: { kind: 'missing' } }),
      now,
      plain,
    );
    expect(shown).toContain('\nasked by   automation\n');
    expect(shown).toContain('\nserving    unknown: the agent does not say whether it serves\n');
    expect(shown).not.toContain('the agent serves');
  });

  it('is one line for each change elsewhere', () => {
    expect(renderChange(report())).toBe(
      '2016-07-08T00:00:00.000Z the agent serves, and nothing is left over | ok: rancher-agent runs (registry.example:5000/rancher/agent:v1.2.11-hardened)\n',
    );
  });
});
