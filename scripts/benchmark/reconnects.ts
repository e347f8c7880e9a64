/**
 * How long an agent is offline whose connections live for a while each, beside the legacy entrypoint, and how fast a
 * thousand hosts come back to a server that has lost them. In simulated time, with the real loop; needs no engine.
 */
import type { Limits } from '../../src/support/limits/limits.ts';
import {
  offlineLimit,
  simulateLegacyOffline,
  simulateOffline,
  simulateReturn,
} from '../../test/support/simulation/reconnect-simulation.ts';
import { figureOf, type Figure } from './figure.ts';

const second = 1_000;
const minute = 60 * second;

const lives = [
  ['30 s', 30 * second],
  ['2 min', 2 * minute],
  ['5 min', 5 * minute],
  ['9.5 min', 9.5 * minute],
  ['10.5 min', 10.5 * minute],
] as const;

/** A bootstrap that takes this long from its start to its connection, for both. */
const slowStartMs = 5 * second;

/** @param limits what differs from the defaults */
export async function measureReconnects(limits: Partial<Limits> = {}): Promise<readonly Figure[]> {
  const shares: Figure[] = [];
  for (const [life, lifeMs] of lives) {
    shares.push(
      await share(`offline, connections of ${life}, no time to start`, { lifeMs, startUpMs: 0, limits }),
    );
  }
  shares.push(
    await share('offline, connections of 30 s, 5 s to start', {
      lifeMs: 30 * second,
      startUpMs: slowStartMs,
      limits,
    }),
  );
  return [...shares, ...(await measureReturns())];
}

async function share(name: string, options: Parameters<typeof simulateOffline>[0]): Promise<Figure> {
  const legacy = await simulateLegacyOffline(options);
  const samples = { ours: [await simulateOffline(options)], reference: [legacy] };
  const limit = Number(offlineLimit(legacy).toFixed(2));
  return figureOf('reconnect', name, '%', samples, { kind: 'at-most', value: limit });
}

const herds = [
  ['connected for 2 min, back at once', 2 * minute, 0],
  ['connected for 2 min, away for 30 s', 2 * minute, 30 * second],
  ['connected for 1 h, back at once', 60 * minute, 0],
  ['connected for 1 h, away for 30 s', 60 * minute, 30 * second],
  ['connected for 1 h, away for 10 min', 60 * minute, 10 * minute],
] as const;

/** Each host sends two requests itself, for its keys and its script; then come those of the script. */
async function measureReturns(): Promise<readonly Figure[]> {
  const figures: Figure[] = [];
  for (const [name, afterMs, outageMs] of herds) {
    const { peak } = await simulateReturn({ hosts: 1_000, afterMs, outageMs });
    figures.push(
      figureOf('1000 hosts lost', `${name}: most requests (keys, script)`, 'a second', { ours: [2 * peak] }),
    );
  }
  return figures;
}
