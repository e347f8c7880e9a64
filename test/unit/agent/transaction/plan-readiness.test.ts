import { describe } from 'vitest';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { created, exited, old, managed, replaceProven, reconcile, table, up } from './plan-table.ts';

/** The proof of readiness and what follows it, scene by scene (readiness §1, §4). */

describe('an upgrade to an image that proves its readiness', () => {
  const proving = { ...created, checksReadiness: true };
  table(replaceProven, [
    ['starts the next agent while the old one runs', { agent: old, next: proving }, 'start next'],
    [
      'waits for its proof, however long it has been up',
      { agent: old, next: { ...proving, ...up(900) } },
      'ready next',
    ],
    [
      'stops the old agent only then',
      { agent: old, next: { ...proving, ...up(900) } },
      'stop agent',
      { ready: ['next'] },
    ],
    [
      'removes a next agent that cannot serve: the old one is not touched',
      { agent: old, next: { ...proving, ...up(9) } },
      'fail next-does-not-run next',
      { rejected: ['next'] },
    ],
    [
      'watches the bootstrap once the new agent is verified',
      { agent: { ...proving, ...up(15) }, previous: [exited] },
      'watch agent',
      { watched: { agent: 10_000 }, ready: ['agent'] },
    ],
    [
      'watches it after a first registration as well: the state must be true',
      { agent: { ...proving, ...up(15) } },
      'watch agent',
      { watched: { agent: 10_000 }, ready: ['agent'] },
    ],
    [
      'removes the parked agent after that',
      { agent: { ...proving, ...up(15) }, previous: [exited] },
      'discard previous-0',
      { watched: { agent: 10_000 }, bootstraps: { agent: 'proven' } },
    ],
    [
      'keeps the parked agent of a rescued host until the new one serves',
      { agent: { ...proving, ...up(15) }, previous: [exited] },
      'done',
      { watched: { agent: 10_000 }, bootstraps: { agent: 'keep-parked' } },
    ],
    [
      'does nothing if the wanted agent is there already',
      { agent: { ...old, ...proving, ...up(900) } },
      'done',
    ],
  ]);
});

describe('a power cut between parking and promotion', () => {
  const proving = { ...created, ...up(3), ...managed, checksReadiness: true };
  table(reconcile, [
    ['has the next agent prove its readiness once more', { next: proving, previous: [exited] }, 'ready next'],
    ['then promotes it', { next: proving, previous: [exited] }, 'promote next', { ready: ['next'] }],
    [
      'brings the parked agent back if it cannot prove it',
      { next: proving, previous: [exited] },
      'promote previous-0',
      { rejected: ['next'] },
    ],
    [
      'leaves a parked agent active that the boot brought back',
      { next: proving, previous: [up(5)] },
      'promote previous-0',
    ],
    [
      'brings the parked agent back where the next one cannot be renamed',
      { next: proving, previous: [exited] },
      'promote previous-0',
      { ready: ['next'], unmovable: ['next'] },
    ],
  ]);
});

describe('an agent that is back after a rollback', () => {
  const failed = { ...created, ...exited, labels: { [labels.formerRestart]: 'agent=unless-stopped' } };
  table(reconcile, [
    [
      'gets the restart policy that it had, before the label with it goes',
      { agent: { ...old, ...up(60), restartPolicy: 'always' }, next: failed },
      'restore-policy agent',
    ],
    [
      'keeps it once it has it',
      { agent: { ...old, ...up(60), restartPolicy: 'unless-stopped' }, next: failed },
      'discard next',
    ],
    [
      'keeps its own where the label is another agent’s',
      { agent: { ...old, ...up(60), restartPolicy: 'always', id: 'other' }, next: failed },
      'discard next',
    ],
  ]);
});
