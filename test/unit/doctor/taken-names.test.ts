import { expect, it } from 'vitest';
import { agent, diagnosisOf, known, now } from '../fakes/healthy-host.ts';
import { id, minute, type DiagnosisTable } from './diagnosis-table.ts';

/** What has the names of roles, the causes that the doctor must name, and no other, and its exit status. */
const table: DiagnosisTable = [
  [
    'an unmanaged container with the name, and the agent under the name of a next one',
    {
      agents: known([
        agent({ managed: false, image: 'nginx' }),
        agent({ role: 'next', name: 'rancher-agent-next', id: id('b') }),
      ]),
    },
    ['role-name-taken'],
    2,
  ],
  ...(
    [
      'legacy agent',
      'next',
      'previous',
      'worker',
      'dead worker',
      'agent-restarter',
      'upgrade',
      'state',
    ] as const
  ).map(
    (role) =>
      [
        `an unmanaged container with the name of the role ${role}`,
        { agents: known([agent(), agent({ role, name: 'taken', managed: false, id: id('b') })]) },
        ['role-name-taken'],
        1,
      ] as const,
  ),
  [
    'no agent, and an unmanaged running container with the name of the agent restarter',
    {
      agents: known([
        agent({ state: 'exited' }),
        agent({ role: 'agent-restarter', name: 'rancher-agent-restarter', managed: false, id: id('b') }),
      ]),
    },
    ['agent-stopped', 'role-name-taken'],
    2,
  ],
  [
    'an agent restarter that is older than any cleanup',
    {
      agents: known([
        agent({ state: 'exited', ownEntrypoint: false }),
        agent({
          role: 'agent-restarter',
          name: 'rancher-agent-restarter',
          id: id('b'),
          createdAt: now - 13 * 60 * minute,
        }),
      ]),
    },
    ['agent-stopped'],
    2,
  ],
  [
    'a worker that is older than any work',
    {
      agents: known([
        agent(),
        agent({
          role: 'worker',
          name: 'rancher-agent-worker',
          id: id('b'),
          startedAt: now - 25 * 60 * minute,
        }),
      ]),
    },
    ['worker-overdue'],
    2,
  ],
];

it.each(table)('the doctor names the causes and nothing else: %s', (_title, parts, causes, exit) => {
  const diagnosis = diagnosisOf(parts);
  expect(diagnosis.causes).toEqual(causes);
  expect(diagnosis.exitCode).toBe(exit);
  expect(JSON.stringify(diagnosis)).not.toContain('docker rm');
});
