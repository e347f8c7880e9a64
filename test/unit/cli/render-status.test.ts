import { stripVTControlCharacters } from 'node:util';
import { describe, expect, it } from 'vitest';
import { renderChange, renderStatus } from '../../../src/cli/render-status.ts';
import { now } from '../fakes/healthy-host.ts';
import { last, report, degraded, missing } from '../fakes/status-report.ts';

const plain = { columns: 80, colour: false };

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
