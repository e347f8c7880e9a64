import { describe } from 'vitest';
import {
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
} from './plan-table.ts';

/** Scene → next step, as docs/architecture.md describes it. */

describe('an upgrade to an image that can be on standby', () => {
  table(replace, [
    ['an upgrade begins by creating the next agent', { agent: old }, 'create-next'],
    ['the next agent is started while the old one runs', { agent: old, next: created }, 'start next'],
    ['leaves the next agent on standby', { agent: old, next: { ...created, ...up(0.5) } }, 'standby next'],
    [
      'the old agent is stopped when the next one has stayed up on standby',
      { agent: old, next: { ...created, ...up(2) } },
      'stop agent',
    ],
    [
      'the time on standby is measured by our own watch if the clocks lie',
      { agent: old, next: { ...created, ...up(-60) } },
      'stop agent',
      { watched: { next: 1_000 } },
    ],
    [
      'parks the stopped old agent',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3) } },
      'park agent 0',
    ],
    [
      'the next agent is promoted when the old one is parked',
      { next: { ...created, ...up(3) }, previous: [exited] },
      'promote next',
    ],
    [
      'watches the promoted agent, however long it was on standby',
      { agent: { ...created, ...up(900) }, previous: [exited] },
      'verify agent',
    ],
    [
      'the parked agent is removed when the new one is verified',
      { agent: { ...created, ...up(15) }, previous: [exited] },
      'discard previous-0',
      { watched: { agent: 10_000 } },
    ],
    [
      'an upgrade is complete when the parked agent has been removed',
      { agent: { ...created, ...up(15) } },
      'done',
    ],
    [
      'an upgrade does nothing if the wanted agent is active already',
      { agent: { ...old, ...wanted } },
      'done',
    ],
  ]);
});

describe('an upgrade to an image that cannot be on standby', () => {
  table(replaceCold, [
    [
      'the old agent is stopped before an agent that cannot stand by starts',
      { agent: old, next: created },
      'stop agent',
    ],
    [
      'an agent that cannot stand by is promoted before it is started',
      { next: created, previous: [exited] },
      'promote next',
    ],
    [
      'an agent that cannot stand by is started after its promotion',
      { agent: created, previous: [exited] },
      'start agent',
    ],
    [
      'a next agent that cannot stand by is stopped if an old engine started it at boot',
      { agent: old, next: { ...created, ...up(5) } },
      'stop next',
    ],
    [
      'a parked agent that a boot brought back is stopped before the promotion',
      { next: created, previous: [up(5)] },
      'stop previous-0',
    ],
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
      'a next agent that was seen to fail never replaces the old one',
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
      'a new agent that restarted once is verified further if nothing is parked',
      { agent: { ...created, ...up(3), restartCount: 1 } },
      'verify agent',
    ],
  ]);
});

describe('a rollback', () => {
  table(reconcile, [
    [
      'a rollback removes a next agent that was never promoted',
      { agent: old, next: created },
      'discard next',
    ],
    [
      'a rollback starts the old agent if it was stopped',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3), ...managed } },
      'start agent',
    ],
    [
      'a rollback renames the failed agent, because a removal may fail',
      { agent: { ...created, ...looping }, previous: [exited] },
      'demote agent',
    ],
    [
      'a rollback parks the failed agent if the name of the next one is taken',
      { agent: { ...created, ...looping }, next: created, previous: [exited] },
      'demote agent 1',
    ],
    [
      'a rollback renames the failed agent to the spare name if a dead container keeps the first and no parked name is free',
      {
        agent: { ...created, ...looping },
        next: isDead,
        previous: [exited, unmanaged, unmanaged, unmanaged, unmanaged],
      },
      'demote agent next 1',
      { unremovable: ['next'] },
    ],
    [
      'a rollback promotes the parked agent',
      { next: { ...created, ...looping, ...managed }, previous: [exited] },
      'promote previous-0',
      { rejected: ['next'] },
    ],
    [
      'a rollback starts the old agent after its promotion',
      { agent: { ...old, ...exited }, next: { ...created, ...exited } },
      'start agent',
    ],
    [
      'a rollback stops a failed agent that runs before it starts the old one',
      { agent: { ...old, ...exited }, next: { ...created, ...looping } },
      'stop next',
    ],
    [
      'does not prefer an agent that is only on standby',
      { agent: { ...old, ...exited }, next: { ...created, ...up(1), ...managed } },
      'start agent',
    ],
    [
      'a rollback removes the failed agent last',
      { agent: { ...old, ...up(2) }, next: { ...created, ...exited } },
      'discard next',
    ],
    [
      'a rollback keeps a new agent that is sound',
      { agent: { ...created, ...up(60) }, previous: [exited] },
      'discard previous-0',
      { watched: { agent: 10_000 } },
    ],
    [
      'a crash-looping agent stays if there is no other one',
      { agent: { ...old, ...looping } },
      'fail agent-does-not-run agent',
    ],
    [
      'a crash-looping agent is stopped if the next one is sound',
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
      'a crash-looping agent stays if the parked one failed as well',
      { agent: { ...old, ...looping }, previous: [exited] },
      'fail agent-does-not-run agent',
      { rejected: ['previous-0'] },
    ],
    [
      'a rollback does not start an agent that was to be removed',
      { agent: { ...created, ...exited }, previous: [exited] },
      'demote agent',
      { unremovable: ['agent'] },
    ],
    ['a rollback reports that there is no agent', {}, 'fail no-agent'],
  ]);
});
