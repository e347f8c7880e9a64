import type { Clock } from '../../../src/support/clock.ts';

/** The real time; the pauses between tries cost nothing. */
export const clockWithoutPauses: Clock = {
  now: Date.now,
  elapsed: Date.now,
  sleep: async () => Promise.resolve(),
  random: () => 0,
};
