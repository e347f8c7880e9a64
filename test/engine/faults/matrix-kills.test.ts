import { defineMatrix } from '../../support/faults/matrix-tests.ts';

defineMatrix('matrix-kills', [
  'worker killed',
  'caller killed',
  'both killed',
  'daemon killed and started',
  'reboot',
  'answer cut off',
  'answer lost',
  'one 500',
]);
