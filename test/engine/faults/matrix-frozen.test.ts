import { describe } from 'vitest';
import { defineMatrix, unpulled } from '../../support/faults/matrix-tests.ts';

/** Each cell waits half a minute for its engine, without work for the machine: four hosts do so side by side. */
const hosts = [0, 1, 2, 3];

for (const host of hosts) {
  describe.concurrent(`host ${host}`, () => {
    describe('one cell after the other', { concurrent: false }, () => {
      const own = unpulled.filter((_, index) => index % hosts.length === host);
      defineMatrix(`matrix-frozen-${host}`, ['daemon frozen 30 s'], own);
    });
  });
}
