import { defineMatrix } from '../../support/faults/matrix-tests.ts';

defineMatrix('matrix-hostile', [
  'worker killed, and its name taken',
  'storage read-only',
  'hostile agent.conf',
  'hostile lock files',
]);
