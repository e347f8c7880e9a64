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

/** The next step where an earlier run or somebody else has left containers. */

describe('what an earlier run left', () => {
  table(replace, [
    [
      'no active agent: the old one returns before anything is created',
      { previous: [exited] },
      'promote previous-0',
    ],
    [
      'of two parked agents the running one is promoted',
      { previous: [exited, up(50)] },
      'promote previous-1',
    ],
    [
      'of two parked agents the one that ran last is promoted',
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
    [
      'a next agent is created if the removal of the only parked agent was started',
      { previous: [{ ...exited, ...removalStarted }] },
      'create-next',
    ],
    [
      'a next agent of another upgrade is removed',
      { agent: old, next: { ...created, digest: 'other' } },
      'discard next',
    ],
    [
      'a next agent of another upgrade is promoted if only it has the keys',
      { next: { ...created, digest: 'other' } },
      'promote next',
    ],
    [
      'a dead active agent has no keys to rely on',
      { agent: isDead, next: { ...created, digest: 'other' } },
      'discard agent',
    ],
    [
      'a next agent that cannot be removed is parked',
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
      'a parked agent that a boot brought back beside the new one is stopped',
      { agent: { ...created, ...up(5) }, previous: [up(5)] },
      'stop previous-0',
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
    [
      'an unmanaged container under the name of the next agent is left alone, and a spare name is used',
      { agent: old, next: unmanaged },
      'create-next next 1',
    ],
    [
      'unmanaged containers under two names of the next agent leave the third',
      { agent: old, next: unmanaged, otherNexts: [unmanaged] },
      'create-next next 2',
    ],
    [
      'a gap between them is used first',
      { agent: old, next: unmanaged, otherNexts: [undefined, unmanaged] },
      'create-next next 1',
    ],
    [
      'unmanaged containers under all names of the next agent are reported before anything is touched',
      { agent: old, next: unmanaged, otherNexts: [unmanaged, unmanaged] },
      'fail next-names-taken',
    ],
    [
      'a next agent with a spare name goes on, whoever has the first',
      { agent: old, next: unmanaged, otherNexts: [{ ...created, ...up(3) }] },
      'stop agent',
    ],
    [
      'unmanaged containers under all parked names are reported before anything is touched',
      { agent: old, previous: [unmanaged, unmanaged, unmanaged, unmanaged, unmanaged] },
      'fail parked-names-taken',
    ],
    [
      'an unmanaged container under the name of the next agent does not matter if there is nothing to do',
      { agent: { ...old, ...wanted }, next: unmanaged },
      'done',
    ],
    [
      'an unmanaged container keeps its parked name',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3) }, previous: [unmanaged, isDead] },
      'park agent 2',
    ],
  ];
  table(replace, fourCases);
  describe('in a rollback', () => {
    table(reconcile, [
      [
        'a rollback starts a parked agent under its name if an unmanaged container has the agent’s name',
        { agent: unmanaged, previous: [exited] },
        'start previous-0',
      ],
      [
        'a rollback reports an unmanaged container under the agent’s name to a person',
        { agent: unmanaged, previous: [up(60)] },
        'fail unmanaged-in-role agent',
      ],
      ['with a parking name are never discarded', { agent: old, previous: [unmanaged] }, 'done'],
      [
        'under a name of the next agent are never discarded',
        { agent: old, next: unmanaged, otherNexts: [unmanaged, unmanaged] },
        'done',
      ],
      [
        'a failed agent is renamed past unmanaged containers',
        { agent: { ...created, ...looping }, next: unmanaged, previous: [exited] },
        'demote agent next 1',
      ],
      [
        'an unmanaged container under a legacy name is never stopped',
        { agent: old, legacy: unmanaged },
        'done',
      ],
    ]);
  });
});

describe('an agent with a legacy name', () => {
  table(replace, [
    ['an agent with a legacy name gets the agent’s name first', { legacy: old }, 'promote legacy'],
    ['stops when a new agent is active', { agent: created, legacy: old }, 'stop legacy'],
    [
      'an agent with a legacy name is stopped whoever created it',
      { agent: created, legacy: { ...old, ...managed } },
      'stop legacy',
    ],
    [
      'an agent with a legacy name is removed when the new one is verified',
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
    [
      'a paused next agent never replaces the old one',
      { agent: old, next: { ...created, state: 'paused' } },
      'fail next-does-not-run next',
    ],
  ]);
});

describe('an agent that can’t be stopped', () => {
  table(replaceCold, [
    [
      'an agent that cannot be stopped beside another one keeps the upgrade from beginning',
      { agent: old, legacy: unmanaged, previous: [{ ...up(60) }] },
      'fail other-agent-does-not-stop previous-0',
      { unremovable: ['previous-0'] },
    ],
    [
      'an agent that cannot be stopped keeps the new one from starting beside it',
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
