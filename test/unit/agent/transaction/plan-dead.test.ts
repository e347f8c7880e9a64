import { describe } from 'vitest';
import {
  isDead,
  created,
  exited,
  looping,
  old,
  managed,
  replace,
  reconcile,
  unmanaged,
  table,
  up,
  wanted,
} from './plan-table.ts';

const fiveDead = Array.from({ length: 5 }, () => isDead);

/** The next step where containers are dead or cannot be removed or renamed. */
describe('a dead container', () => {
  table(replace, [
    [
      'a dead container with the agent’s name is removed when there is a next agent',
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
      'a dead container needs no parked name if it can be removed',
      { agent: isDead, next: { ...created, ...up(3) }, previous: Array.from({ length: 5 }, () => unmanaged) },
      'discard agent',
    ],
    [
      'a dead container with the name of the next agent is removed',
      { agent: old, next: isDead },
      'discard next',
    ],
    [
      'a dead container under a parked name takes that name',
      { agent: { ...old, ...exited }, next: { ...created, ...up(3) }, previous: [isDead] },
      'park agent 1',
    ],
    [
      'a dead container under a parked name is removed in the end',
      { agent: { ...old, ...wanted }, previous: [undefined, isDead] },
      'discard previous-1',
    ],
    [
      'an unremovable container does not keep an upgrade from its end',
      { agent: { ...old, ...wanted }, previous: [isDead] },
      'done',
      { unremovable: ['previous-0'] },
    ],
    [
      'a dead container is removed when all parked names are taken',
      { agent: old, previous: fiveDead },
      'discard previous-0',
    ],
    [
      'an upgrade is refused before anything is touched if five unremovable containers take the parked names',
      { agent: old, previous: fiveDead },
      'fail parked-names-taken',
      { unremovable: [0, 1, 2, 3, 4].map((index) => `previous-${index}`) },
    ],
    [
      'an upgrade is refused as well if the next agent exists already',
      { agent: old, next: { ...created, ...up(3) }, previous: fiveDead },
      'fail parked-names-taken',
      { unremovable: [0, 1, 2, 3, 4].map((index) => `previous-${index}`) },
    ],
  ]);
});

describe('an engine where a dead container can’t even be renamed (1.10.3)', () => {
  const hung = { unremovable: ['agent'], unmovable: ['agent'] };
  table(reconcile, [
    [
      'a parked agent is started under the name that it has',
      { agent: isDead, previous: [exited] },
      'start previous-0',
      hung,
    ],
    [
      'a parked agent that runs already is enough',
      { agent: isDead, previous: [up(60)] },
      'fail name-not-free agent',
      hung,
    ],
    [
      'an agent whose image runs under any name is preferred',
      { agent: isDead, next: { ...created, ...managed }, previous: [{ ...exited, ...managed }, exited] },
      'start previous-1',
      hung,
    ],
  ]);
});

describe('an agent that failed and holds its name for good', () => {
  table(replace, [
    [
      'a next agent is kept while a parked one runs and a person must look',
      { agent: { ...old, ...looping }, next: { ...created, digest: 'other' }, previous: [up(60)] },
      'fail name-not-free agent',
      { unremovable: ['agent'], unmovable: ['agent'] },
    ],
  ]);
});
