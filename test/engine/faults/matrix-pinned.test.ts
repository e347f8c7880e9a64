import { definePinnedSample } from '../../support/faults/matrix-tests.ts';

/*
 * Where an old engine matters most: nothing removes an ended worker by itself, no restart policy can be switched off, and
 * a dead container can't be inspected. Every cell: `scripts/long/fault-matrix --api 1.22`.
 */
definePinnedSample('matrix-pinned', '1.22', {
  'worker killed': ['create next', 'ready', 'stop', 'verify', 'watch'],
  'caller killed': ['start', 'discard'],
  'both killed': ['ready', 'stop', 'promote', 'watch', 'discard'],
  'daemon killed and started': ['create next', 'park'],
  reboot: ['start', 'ready', 'watch', 'discard'],
  'answer lost': ['create next'],
  '500 for ever': ['stop'],
  'removal impossible': ['preflight', 'discard'],
});
