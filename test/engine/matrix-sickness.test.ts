import { defineMatrix } from '../support/faults/matrix-tests.ts';

defineMatrix('matrix-sickness', [
  '500 for ever',
  'no space',
  'no inodes',
  'removal impossible',
  'name taken by an unmanaged container',
  'lock stale',
  'lock held by a live one',
  'status folder not writable',
]);
