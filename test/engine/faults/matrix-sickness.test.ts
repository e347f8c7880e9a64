import { defineMatrix } from '../../support/faults/matrix-tests.ts';

defineMatrix('matrix-sickness', [
  '500 for ever',
  'no space',
  'no inodes',
  'removal impossible',
  'name taken by an unmanaged container',
  'agent of a tenant appears',
  'status file is a FIFO',
  'status file is a link',
  'status file of 100 MB',
  'lock stale',
  'lock held by a live one',
  'status folder not writable',
]);
