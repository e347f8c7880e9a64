import { describe } from 'vitest';
import { labels } from '../../../../src/agent/identity/roles.ts';
import { created, exited, looping, old, managed, replaceProven, reconcile, table, up } from './plan-table.ts';

/** The proof of readiness and what follows it, scene by scene (readiness §1, §4). */

describe('an upgrade to an image that proves its readiness', () => {
  const proving = { ...created, checksReadiness: true };
  table(replaceProven, [
    [
      'the next agent that will prove its readiness is started while the old one runs',
      { agent: old, next: proving },
      'start next',
    ],
    [
      'a next agent must prove its readiness, however long it has been up',
      { agent: old, next: { ...proving, ...up(900) } },
      'ready next',
    ],
    [
      'the old agent is stopped when the next one has proven its readiness',
      { agent: old, next: { ...proving, ...up(900) } },
      'stop agent',
      { ready: ['next'] },
    ],
    [
      'a next agent that was restarted a moment ago may prove its readiness',
      { agent: old, next: { ...proving, ...up(1), restartCount: 1 } },
      'ready next',
    ],
    [
      'a next agent that restarts may prove its readiness: there it is decided whether the image is at fault',
      { agent: old, next: { ...proving, ...looping } },
      'ready next',
    ],
    [
      'a restart before the proof is no crash loop afterwards',
      { agent: old, next: { ...proving, ...up(1), restartCount: 1, start: 'second' } },
      'stop agent',
      { ready: { next: 'second' } },
    ],
    [
      'another start than the one that has proven its readiness must prove it again',
      { agent: old, next: { ...proving, ...up(900), start: 'second' } },
      'ready next',
      { ready: { next: 'first' } },
    ],
    [
      'a promoted agent that was restarted before its proof is verified',
      { agent: { ...proving, ...up(3), restartCount: 1, start: 'second' }, previous: [exited] },
      'verify agent',
      { ready: { agent: 'second' } },
    ],
    [
      'a promoted agent that restarts after its proof is rolled back',
      { agent: { ...proving, ...up(3), restartCount: 2, start: 'third' }, previous: [exited] },
      'fail agent-does-not-run agent',
      { ready: { agent: 'second' } },
    ],
    [
      'a next agent that cannot serve is removed, and the old one is not touched',
      { agent: old, next: { ...proving, ...up(9) } },
      'fail next-does-not-run next',
      { rejected: ['next'] },
    ],
    [
      'the bootstrap is watched when the new agent is verified',
      { agent: { ...proving, ...up(15) }, previous: [exited] },
      'watch agent',
      { watched: { agent: 10_000 }, ready: ['agent'] },
    ],
    [
      'the bootstrap is watched after a first registration as well, so that the state is true',
      { agent: { ...proving, ...up(15) } },
      'watch agent',
      { watched: { agent: 10_000 }, ready: ['agent'] },
    ],
    [
      'the parked agent is removed when the bootstrap has run long enough',
      { agent: { ...proving, ...up(15) }, previous: [exited] },
      'discard previous-0',
      { watched: { agent: 10_000 }, bootstraps: { agent: 'proven' } },
    ],
    [
      'the parked agent of a rescued host is kept until the new one serves',
      { agent: { ...proving, ...up(15) }, previous: [exited] },
      'done',
      { watched: { agent: 10_000 }, bootstraps: { agent: 'keep-parked' } },
    ],
    [
      'an upgrade with a proof does nothing if the wanted agent is active already',
      { agent: { ...old, ...proving, ...up(900) } },
      'done',
    ],
  ]);
});

describe('a power cut between parking and promotion', () => {
  const proving = { ...created, ...up(3), ...managed, checksReadiness: true };
  table(reconcile, [
    [
      'the next agent proves its readiness again after a power cut',
      { next: proving, previous: [exited] },
      'ready next',
    ],
    [
      'the next agent is promoted after a power cut when it has proven its readiness again',
      { next: proving, previous: [exited] },
      'promote next',
      { ready: ['next'] },
    ],
    [
      'the parked agent is promoted after a power cut if the next one cannot prove its readiness',
      { next: proving, previous: [exited] },
      'promote previous-0',
      { rejected: ['next'] },
    ],
    [
      'a parked agent that the boot brought back becomes the active one',
      { next: proving, previous: [up(5)] },
      'promote previous-0',
    ],
    [
      'the parked agent is promoted after a power cut if the next one cannot be renamed',
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
      'an agent that is back gets its restart policy before the label that names it is removed',
      { agent: { ...old, ...up(60), restartPolicy: 'always' }, next: failed },
      'restore-policy agent',
    ],
    [
      'an agent that is back keeps its restart policy once it has it',
      { agent: { ...old, ...up(60), restartPolicy: 'unless-stopped' }, next: failed },
      'discard next',
    ],
    [
      'an agent that is back keeps its own restart policy if the label is another agent’s',
      { agent: { ...old, ...up(60), restartPolicy: 'always', id: 'other' }, next: failed },
      'discard next',
    ],
  ]);
});
