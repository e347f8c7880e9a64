import { describe, expect, it } from 'vitest';
import type { StatusReport } from '../../../src/doctor/status-report.ts';
import type { StatusSnapshot } from '../../../src/doctor/snapshot.ts';
import { known, unknown } from '../fakes/healthy-host.ts';
import {
  agent,
  worker,
  parked,
  leaksOf,
  last,
  serves,
  recordOf,
  report,
  missing,
} from '../fakes/status-report.ts';

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
