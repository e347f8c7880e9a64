import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exitStatusOf } from '../../scripts/benchmark/figure.ts';
import { measureReconnects } from '../../scripts/benchmark/reconnects.ts';
import {
  offlineLimit,
  simulateLegacyOffline,
  simulateOffline,
  simulateReturn,
} from '../support/simulation/reconnect-simulation.ts';

const second = 1_000;
const minute = 60 * second;

describe('the share of 12 hours that an agent is offline', () => {
  it.each([
    ['30 s', 30 * second, 14],
    ['2 min', 2 * minute, 4],
    ['5 min', 5 * minute, 1.6],
    ['9.5 min', 9.5 * minute, 0.9],
  ])('with connections of %s', async (_title, lifeMs, legacyPercent) => {
    const legacy = await simulateLegacyOffline({ lifeMs });
    expect(legacy).toBeCloseTo(legacyPercent, 0);
    for (const status of [0, 1]) {
      const ours = await simulateOffline({ lifeMs, status });
      expect(ours).toBeGreaterThan(legacy);
      expect(ours).toBeLessThanOrEqual(offlineLimit(legacyPercent));
    }
  });
});

describe('a thousand hosts that a server loses in one second', () => {
  it.each([
    ['2 min, back at once: within 2 s', 2 * minute, 0, [400, 600], 7 * second],
    ['2 min, away for 30 s: the first reconnect fails', 2 * minute, 30 * second, [0, 90], minute],
    ['1 h, back at once: within 15 s', 60 * minute, 0, [60, 90], 20 * second],
    ['1 h, away for 10 min', 60 * minute, 10 * minute, [0, 20], 6 * minute],
  ] as const)('after %s', async (_title, afterMs, outageMs, [least, most], withinMs) => {
    const seen = await simulateReturn({ hosts: 1_000, afterMs, outageMs });
    expect(seen.peak).toBeGreaterThanOrEqual(least);
    expect(seen.peak).toBeLessThanOrEqual(most);
    expect(seen.withinMs).toBeLessThanOrEqual(withinMs);
  });
});

describe('scripts/bench reconnect', () => {
  /** What it was before: a run below ten minutes was a failure. */
  const before = { BOOTSTRAP_LASTED: 10 * minute };

  it('keeps its limits, and does not with the pauses of before', async () => {
    expect(exitStatusOf(await measureReconnects())).toBe(0);
    const figures = await measureReconnects(before);
    expect(exitStatusOf(figures)).toBe(1);
    expect(figures.slice(0, 4).map(({ ours, kept }) => [Math.round(ours.median), kept])).toEqual([
      [88, false],
      [64, false],
      [41, false],
      [26, false],
    ]);
  }, 60_000);

  it('exits with 1 when a share exceeds its limit', async () => {
    const env = { ...process.env, AGENT_LIMIT_BOOTSTRAP_LASTED: String(before.BOOTSTRAP_LASTED) };
    const script = join(import.meta.dirname, '../../scripts/benchmark/bench.ts');
    const { code, stdout } = await new Promise<{ code: unknown; stdout: string }>((resolve) => {
      execFile(process.execPath, [script, 'reconnect'], { env }, (error, output) => {
        resolve({ code: error?.code ?? 0, stdout: output });
      });
    });
    expect(stdout).toMatch(/connections of 30 s, no time to start +87.* ✗/);
    expect(code).toBe(1);
  }, 60_000);
});
