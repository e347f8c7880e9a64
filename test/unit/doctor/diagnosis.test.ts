import { describe, expect, it } from 'vitest';
import type { ContainerSummary } from '../../../src/engine/engine.ts';
import type { AgentSnapshot } from '../../../src/doctor/snapshot.ts';
import { leakedSummary } from '../fakes/leaked.ts';
import { agent, diagnosisOf, known, listed, now, unknown } from '../fakes/healthy-host.ts';
import { diagnosisTable, minute, oldAgent } from './diagnosis-table.ts';

describe('the diagnosis', () => {
  it.each(diagnosisTable)(
    'has the causes and the exit status of a host: %s',
    (_title, parts, causes, exit) => {
      const diagnosis = diagnosisOf(parts);
      expect(diagnosis.causes).toEqual(causes);
      expect(diagnosis.exitCode).toBe(exit === 0 && diagnosis.unknown.length > 0 ? 1 : exit);
      for (const finding of diagnosis.findings) {
        const isWrong = finding.level === 'warning' || finding.level === 'unhealthy';
        expect(finding.cause !== undefined, finding.text).toBe(isWrong);
        if (isWrong) expect(finding.advice, finding.text).toBeTruthy();
      }
    },
  );

  it('has one cause without an engine, and everything else as unknown', () => {
    const nothing = unknown('unknown without the engine');
    const diagnosis = diagnosisOf({
      engine: { known: false, why: 'no answer within 60 s', blind: false },
      info: nothing,
      containers: nothing,
      agents: nothing,
    });
    expect(diagnosis).toMatchObject({ causes: ['engine-unavailable'], exitCode: 2 });
    expect(diagnosis.unknown).toEqual(['agents', 'leaks', 'restarts']);
  });

  it('is not healthy if something could not be checked', () => {
    const diagnosis = diagnosisOf({
      mounts: { known: false, why: 'not from here', hint: 'do that', blind: true },
    });
    expect(diagnosis).toMatchObject({ verdict: 'warnings', exitCode: 1, causes: [], unknown: ['mounts'] });
  });
});

describe('leaks in a diagnosis', () => {
  it('are counted by state, by kind and by the hour, with the agent that causes them and its server', () => {
    const made = (index: number, parts: Partial<ContainerSummary>): ContainerSummary =>
      leakedSummary({
        id: String(index).padStart(64, '0'),
        name: 'sad_bohr',
        createdAt: now - index * 10 * minute,
        ...parts,
      });
    const share = '/run.sh -- /usr/bin/share-mnt /var/lib/rancher/volumes -- norun';
    const containers = known([
      made(0.1, {}),
      made(0.2, {}),
      made(3, { state: 'created' }),
      made(7, { state: 'dead' }),
      made(20, { command: share }),
      listed(),
    ]);
    const leaking = diagnosisOf({ containers, agents: known([oldAgent]) });
    const line = leaking.findings.find(({ check }) => check === 'leaks');
    expect(line?.text).toBe('5 leaked helpers, 3 in the last hour, the last one 60 s ago: STILL LEAKING');
    expect(line?.figures).toMatchObject({
      ...{ total: 5, exited: 3, neverStarted: 1, dead: 1, inspectHost: 4, shareMnt: 1 },
      ...{
        lastHour: 3,
        leaking: true,
        youngestMs: minute,
        oldestMs: 200 * minute,
        makers: 'rancher-agent',
      },
    });
    expect(line?.details?.at(-1)).toBe(
      'created by: the loop of a legacy agent, rancher-agent (aaaaaaaaaaaa), rancher/agent:v1.0.2, whose upgrades https://rancher.example/v1 requires',
    );
  });
});

describe('the advice where nothing but a next agent is there', () => {
  const adviceFor = (state: AgentSnapshot['state']): string | undefined => {
    const next = agent({ role: 'next', name: 'rancher-agent-next', state });
    const { findings } = diagnosisOf({ agents: known([next]) });
    return findings.find(({ cause }) => cause === 'no-agent')?.advice;
  };

  it('is to start one that is stopped, and to upgrade where it restarts again and again', () => {
    expect(adviceFor('exited')).toMatch(/^docker start rancher-agent-next:/);
    expect(adviceFor('restarting')).toMatch(/docker logs --tail 50 rancher-agent-next.*upgrade/);
  });
});
