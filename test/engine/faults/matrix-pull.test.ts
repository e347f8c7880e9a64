import { describe } from 'vitest';
import { faults, type Fault } from '../../support/faults/fault-table.ts';
import { definePullMatrix } from '../../support/faults/matrix-tests.ts';

const full: readonly Fault[] = ['no space', 'no inodes'];

describe('with room', () => {
  definePullMatrix(
    'matrix-pull',
    faults.filter((fault) => !full.includes(fault)),
  );
});

describe('on a disk that fills up', () => {
  definePullMatrix('matrix-pull-full', full);
});
