import { defineMatrix } from '../support/faults/matrix-tests.ts';

defineMatrix('matrix-sickness', [
  '500 for ever',
  'no space',
  'no inodes',
  'removal impossible',
  'name taken by a stranger',
  'lock stale',
  'lock held by a live one',
  'status folder not writable',
]);
