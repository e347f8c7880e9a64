import { describe, expect, it } from 'vitest';
import type { ServingRecord } from '../../../src/host/files/serving-record.ts';
import type { HostSnapshot } from '../../../src/doctor/snapshot.ts';
import { agent, diagnosisOf, known, servingRecord, unknown } from '../fakes/healthy-host.ts';

describe('the check of serving', () => {
  const serving = (parts: Partial<ServingRecord>): HostSnapshot['serving'] =>
    known({ kind: 'fresh', record: servingRecord(parts) });
  const found = (parts: Partial<HostSnapshot>) => {
    const diagnosis = diagnosisOf(parts);
    const finding = diagnosis.findings.find(({ check }) => check === 'serving');
    return { verdict: diagnosis.verdict, finding };
  };

  it('shows since when the agent serves, and what was observed', () => {
    expect(found({})).toMatchObject({
      verdict: 'healthy',
      finding: {
        level: 'ok',
        text: 'the agent serves, for 3 h: https://rancher.example',
        details: ['last live answer 3 min ago; bootstrap runs for 3 h'],
        figures: { serving: 'yes', failuresInARow: 0 },
      },
    });
  });

  it.each<[string, Partial<HostSnapshot>, string, string | undefined, RegExp]>([
    [
      'a bootstrap that fails',
      {
        serving: serving({
          serving: 'no',
          cause: 'bootstrap-fails',
          message: 'exited with an error 3 times',
        }),
      },
      'unhealthy',
      'bootstrap-fails',
      /does not serve: exited with an error/,
    ],
    [
      'CATTLE_EXEC_AGENT',
      { serving: serving({ serving: 'unknown', cause: 'serving-unknown', message: 'nobody looks' }) },
      'warning',
      'serving-unknown',
      /is unknown: nobody looks/,
    ],
    [
      'a bootstrap without a connection',
      {
        serving: serving({ serving: 'unknown', cause: 'agent-not-connected', message: 'has not connected' }),
      },
      'unhealthy',
      'agent-not-connected',
      /is unknown: has not connected/,
    ],
    [
      'an agent that has just started',
      { serving: serving({ serving: 'unknown', cause: 'starting', message: 'not long enough yet' }) },
      'ok',
      undefined,
      /^unknown yet/,
    ],
    [
      'a record that nobody keeps',
      { serving: known({ kind: 'stale', record: servingRecord() }) },
      'unknown',
      undefined,
      /^unknown: /,
    ],
    ['a legacy agent', { serving: known({ kind: 'missing' }) }, 'unknown', undefined, /does not say/],
    [
      'a record of another container',
      { serving: serving({ container: 'f'.repeat(64) }) },
      'unknown',
      undefined,
      /of another container/,
    ],
    [
      'a damaged record',
      { serving: known({ kind: 'damaged', reason: 'not JSON' }) },
      'unknown',
      undefined,
      /not JSON/,
    ],
    [
      'a folder that is out of sight',
      { serving: unknown('not mounted') },
      'unknown',
      undefined,
      /not mounted/,
    ],
  ])('has the level and cause of %s', (_title, parts, level, cause, text) => {
    const { finding } = found(parts);
    expect(finding).toMatchObject({ level, text: expect.stringMatching(text) as string });
    expect(finding?.cause).toBe(cause);
    if (finding?.level === 'ok' || finding?.level === 'unknown')
      expect(finding.text).not.toContain('agent serves,');
  });

  it('has no finding where no agent runs', () => {
    expect(found({ agents: known([agent({ state: 'exited' })]) }).finding).toBeUndefined();
  });
});
