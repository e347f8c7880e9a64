import { describe } from 'vitest';
import {
  removalStarted,
  isDead,
  created,
  exited,
  looping,
  old,
  managed,
  replace,
  replaceCold,
  reconcile,
  unmanaged,
  table,
  up,
  wanted,
  type Row,
} from './plan-table.ts';

/** Scene → next step, as docs/architecture.md describes it. */

describe('an upgrade to an image that can be on standby', () => {
  table(replace, [
    ['begins with the new one', { agent: old }, 'create-next'],
    ['starts it while the old one runs', { agent: old, next: created }, 'start next'],
    ['leaves the next agent on standby', { agent: old, next: { ...created, ...up(0.5) } }, 'standby next'],
    ['then stops the old one', { agent: old, next: { ...created, ...up(2) } }, 'stop agent'],
    [
      'by our own watch, if clocks lie',
      { agent: old, next: { ...created, ...up(-60) } },
      'stop agent',
      { watched: { next: 1_000 } },
    ],
    [
      'parks the stopped old agent',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3) } },
      'park agent 0',
    ],
    ['promotes the new one', { next: { ...created, ...up(3) }, previous: [exited] }, 'promote next'],
    [
      'watches the promoted agent, however long it was on standby',
      { agent: { ...created, ...up(900) }, previous: [exited] },
      'verify agent',
    ],
    [
      'then removes the old one',
      { agent: { ...created, ...up(15) }, previous: [exited] },
      'discard previous-0',
      { watched: { agent: 10_000 } },
    ],
    ['and is done', { agent: { ...created, ...up(15) } }, 'done'],
    ['is done at once if nothing is to do', { agent: { ...old, ...wanted } }, 'done'],
  ]);
});

describe('an upgrade to an image that cannot be on standby', () => {
  table(replaceCold, [
    ['stops the old one before the new one starts', { agent: old, next: created }, 'stop agent'],
    ['promotes the new one', { next: created, previous: [exited] }, 'promote next'],
    ['starts it only then', { agent: created, previous: [exited] }, 'start agent'],
    [
      'stops one that an old engine started at boot, beside the agent',
      { agent: old, next: { ...created, ...up(5) } },
      'stop next',
    ],
    ['stops the old one that a boot brought back', { next: created, previous: [up(5)] }, 'stop previous-0'],
    [
      'stops the legacy agent as well when the new one is active',
      { agent: created, previous: [up(5)] },
      'stop previous-0',
    ],
  ]);
});

describe('a new one that fails', () => {
  table(replace, [
    [
      'to stay up on standby does not replace the old agent',
      { agent: old, next: { ...created, ...looping } },
      'fail next-does-not-run next',
    ],
    [
      'and was seen to fail is no relief',
      { agent: old, next: { ...created, ...up(0) } },
      'fail next-does-not-run next',
      { rejected: ['next'] },
    ],
    [
      'as the active agent, while a rollback is possible, is given up',
      { agent: { ...created, ...looping }, previous: [exited] },
      'fail agent-does-not-run agent',
    ],
    [
      'once, while a rollback is possible, is given up',
      { agent: { ...created, ...up(3), restartCount: 1 }, previous: [exited] },
      'fail agent-does-not-run agent',
    ],
    [
      'once, with nothing to go back to, is watched',
      { agent: { ...created, ...up(3), restartCount: 1 } },
      'verify agent',
    ],
  ]);
});

describe('a rollback', () => {
  table(reconcile, [
    ['discards a new one that never took over', { agent: old, next: created }, 'discard next'],
    [
      'starts the old one if it was stopped',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3), ...managed } },
      'start agent',
    ],
    [
      'renames the failed one away: a removal may fail',
      { agent: { ...created, ...looping }, previous: [exited] },
      'demote agent',
    ],
    [
      'into a slot if there is a next one',
      { agent: { ...created, ...looping }, next: created, previous: [exited] },
      'demote agent 1',
    ],
    [
      'under the spare name if a dead one keeps the first and no parked name is free',
      { agent: { ...created, ...looping }, next: isDead, previous: [exited, unmanaged, unmanaged] },
      'demote agent spare',
      { unremovable: ['next'] },
    ],
    [
      'promotes the old one',
      { next: { ...created, ...looping, ...managed }, previous: [exited] },
      'promote previous-0',
      { rejected: ['next'] },
    ],
    ['starts it', { agent: { ...old, ...exited }, next: { ...created, ...exited } }, 'start agent'],
    [
      'stops a failed one that acts, first',
      { agent: { ...old, ...exited }, next: { ...created, ...looping } },
      'stop next',
    ],
    [
      'does not prefer an agent that is only on standby',
      { agent: { ...old, ...exited }, next: { ...created, ...up(1), ...managed } },
      'start agent',
    ],
    [
      'removes the failed one last',
      { agent: { ...old, ...up(2) }, next: { ...created, ...exited } },
      'discard next',
    ],
    [
      'keeps a new one that is sound',
      { agent: { ...created, ...up(60) }, previous: [exited] },
      'discard previous-0',
      { watched: { agent: 10_000 } },
    ],
    [
      'has nothing better than a crash loop',
      { agent: { ...old, ...looping } },
      'fail agent-does-not-run agent',
    ],
    [
      'unless the next one is',
      { agent: { ...old, ...looping }, next: { ...created, ...up(30), ...managed } },
      'stop agent',
    ],
    [
      'keeps the agent on standby where nothing can be started or renamed any more (full disk)',
      { agent: { ...old, ...exited }, next: { ...created, ...up(30), ...managed } },
      'fail agent-does-not-run agent',
      { rejected: ['agent'], unmovable: ['agent', 'next'] },
    ],
    [
      'nor with an old one that failed as well',
      { agent: { ...old, ...looping }, previous: [exited] },
      'fail agent-does-not-run agent',
      { rejected: ['previous-0'] },
    ],
    [
      'does not start again what was to be removed',
      { agent: { ...created, ...exited }, previous: [exited] },
      'demote agent',
      { unremovable: ['agent'] },
    ],
    ['tells when there is nothing', {}, 'fail no-agent'],
  ]);
});

describe('what an earlier run left', () => {
  table(replace, [
    [
      'no active agent: the old one returns before anything is created',
      { previous: [exited] },
      'promote previous-0',
    ],
    ['two old ones: the one that runs', { previous: [exited, up(50)] }, 'promote previous-1'],
    [
      'two old ones: the one that ran last',
      {
        previous: [
          { ...exited, startedAt: 1 },
          { ...exited, startedAt: 2 },
        ],
      },
      'promote previous-1',
    ],
    [
      'an agent whose removal was started is nothing to roll back to',
      { previous: [{ ...exited, ...removalStarted, startedAt: 5 }, exited] },
      'promote previous-1',
    ],
    ['unless it is the last one', { previous: [{ ...exited, ...removalStarted }] }, 'create-next'],
    [
      'a next one of another upgrade goes',
      { agent: old, next: { ...created, digest: 'other' } },
      'discard next',
    ],
    [
      'unless it is the last one that has the keys',
      { next: { ...created, digest: 'other' } },
      'promote next',
    ],
    [
      'a dead active agent has no keys to rely on',
      { agent: isDead, next: { ...created, digest: 'other' } },
      'discard agent',
    ],
    [
      'a next one that cannot be removed makes room',
      { agent: old, next: { ...created, digest: 'other' } },
      'park next 0',
      { unremovable: ['next'] },
    ],
    [
      'an agent whose restart policy is off is replaced',
      { agent: { ...old, ...wanted, ...removalStarted } },
      'create-next',
    ],
    [
      'an old one that a boot brought back beside the new one stops',
      { agent: { ...created, ...up(5) }, previous: [up(5)] },
      'stop previous-0',
    ],
  ]);
});

describe('a dead container', () => {
  table(replace, [
    [
      'with the agent’s name is removed, once there is a new one',
      { agent: isDead, next: { ...created, ...up(3) } },
      'discard agent',
    ],
    [
      'or else parked',
      { agent: isDead, next: { ...created, ...up(3) } },
      'park agent 0',
      { unremovable: ['agent'] },
    ],
    [
      'needs no parked name if it can be removed',
      { agent: isDead, next: { ...created, ...up(3) }, previous: [unmanaged, unmanaged, unmanaged] },
      'discard agent',
    ],
    ['as the next one is removed', { agent: old, next: isDead }, 'discard next'],
    [
      'among the parked names takes a name',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3) }, previous: [isDead] },
      'park agent 1',
    ],
    [
      'among them goes in the end',
      { agent: { ...old, ...wanted }, previous: [undefined, isDead] },
      'discard previous-1',
    ],
    [
      'that cannot go keeps nobody',
      { agent: { ...old, ...wanted }, previous: [isDead] },
      'done',
      { unremovable: ['previous-0'] },
    ],
    [
      'makes room when all names are taken',
      { agent: old, previous: [isDead, isDead, isDead] },
      'discard previous-0',
    ],
    [
      'or, three of them for good, is refused before anything is touched',
      { agent: old, previous: [isDead, isDead, isDead] },
      'fail parked-names-taken',
      { unremovable: ['previous-0', 'previous-1', 'previous-2'] },
    ],
    [
      'the same when the new one exists already',
      { agent: old, next: { ...created, ...up(3) }, previous: [isDead, isDead, isDead] },
      'fail parked-names-taken',
      { unremovable: ['previous-0', 'previous-1', 'previous-2'] },
    ],
  ]);
});

describe('an engine where a dead container can’t even be renamed (1.10.3)', () => {
  const hung = { unremovable: ['agent'], unmovable: ['agent'] };
  table(reconcile, [
    [
      'an old one starts under the name it has',
      { agent: isDead, previous: [exited] },
      'start previous-0',
      hung,
    ],
    [
      'one that acts already is enough',
      { agent: isDead, previous: [up(60)] },
      'fail name-not-free agent',
      hung,
    ],
    [
      'an image that acts under any name is preferred',
      { agent: isDead, next: { ...created, ...managed }, previous: [{ ...exited, ...managed }, exited] },
      'start previous-1',
      hung,
    ],
  ]);
});

describe('an agent that failed and holds its name for good', () => {
  table(replace, [
    [
      'does not cost a next one: an old one acts, and a person must look',
      { agent: { ...old, ...looping }, next: { ...created, digest: 'other' }, previous: [up(60)] },
      'fail name-not-free agent',
      { unremovable: ['agent'], unmovable: ['agent'] },
    ],
  ]);
});

describe('unmanaged containers', () => {
  const fourCases: readonly Row[] = [
    [
      'with the name of the active agent are left alone',
      { agent: unmanaged, next: created },
      'fail unmanaged-in-role agent',
    ],
    ['as the next one are left alone', { agent: old, next: unmanaged }, 'fail unmanaged-in-role next'],
    [
      'as the next one matter nothing when there is nothing to do',
      { agent: { ...old, ...wanted }, next: unmanaged },
      'done',
    ],
    [
      'hold their parked names',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3) }, previous: [unmanaged, isDead] },
      'park agent 2',
    ],
  ];
  table(replace, fourCases);
  describe('in a rollback', () => {
    table(reconcile, [
      ['let an old one run under another name', { agent: unmanaged, previous: [exited] }, 'start previous-0'],
      ['and a person must look', { agent: unmanaged, previous: [up(60)] }, 'fail unmanaged-in-role agent'],
      ['with a parking name are never discarded', { agent: old, previous: [unmanaged] }, 'done'],
      ['under a legacy name are never stopped', { agent: old, legacy: unmanaged }, 'done'],
    ]);
  });
});

describe('an agent with a legacy name', () => {
  table(replace, [
    ['gets the agent’s name first', { legacy: old }, 'promote legacy'],
    ['stops when a new agent is active', { agent: created, legacy: old }, 'stop legacy'],
    ['acts, whoever made it', { agent: created, legacy: { ...old, ...managed } }, 'stop legacy'],
    [
      'goes when the new one is proven',
      { agent: { ...created, ...up(60) }, legacy: exited },
      'discard legacy',
      { watched: { agent: 10_000 } },
    ],
  ]);
});

describe('a container that somebody has paused', () => {
  table(replace, [
    [
      'that is active and wanted is that person’s business',
      { agent: { ...created, state: 'paused' } },
      'done',
    ],
    [
      'that is active is stopped like any other',
      { agent: { ...old, state: 'paused' }, next: { ...created, ...up(3) } },
      'stop agent',
    ],
    ['is no relief', { agent: old, next: { ...created, state: 'paused' } }, 'fail next-does-not-run next'],
  ]);
});

describe('an agent that can’t be stopped', () => {
  table(replaceCold, [
    [
      'beside another one keeps the upgrade from beginning',
      { agent: old, legacy: unmanaged, previous: [{ ...up(60) }] },
      'fail other-agent-does-not-stop previous-0',
      { unremovable: ['previous-0'] },
    ],
    [
      'keeps the new one from acting beside it',
      { agent: created, previous: [up(60)] },
      'fail other-agent-does-not-stop previous-0',
      { unremovable: ['previous-0'] },
    ],
  ]);
  describe('in a rollback', () => {
    table(reconcile, [
      [
        'and an active one that runs both stay',
        { agent: old, previous: [up(60)] },
        'done',
        { unremovable: ['previous-0'] },
      ],
    ]);
  });
});
