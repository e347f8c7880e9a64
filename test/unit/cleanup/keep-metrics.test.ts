import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keepMetrics } from '../../../src/cleanup/keep-metrics.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import type { Clock } from '../../../src/support/clock.ts';
import { pathsBelow } from '../../../src/support/paths.ts';
import { defaultLimits as limits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { names, now } from '../fakes/healthy-host.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keep-metrics-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

it('a count that another writer dropped is in the textfile again soon after the start', async () => {
  const file = join(folder, 'rancher_agent.prom');
  const ending = new AbortController();
  const pauses: number[] = [];
  const texts: string[] = [];
  const clock: Clock = {
    now: () => now,
    elapsed: () => 0,
    random: () => 0.5,
    sleep: async (ms) => {
      pauses.push(ms);
      texts.push(await readFile(file, 'utf8'));
      // What a worker writes that had read the file before the count was in it.
      await writeFile(file, '');
      if (pauses.length === 3) throw new Error('seen enough');
    },
  };
  const engine = { listContainers: async () => Promise.resolve([]) } as unknown as Engine;
  const configuration = { paths: pathsBelow(folder), limits, environment: { AGENT_METRICS_FILE: file } };
  const keeping = { engine, names, clock, configuration, log: silentLog, signal: ending.signal };
  await expect(keepMetrics(keeping as unknown as Parameters<typeof keepMetrics>[0])).rejects.toThrow(
    'seen enough',
  );
  expect(pauses).toEqual([limits.METRICS_AGAIN, limits.HOUSEKEEPING, limits.HOUSEKEEPING]);
  for (const text of texts) expect(text).toContain('rancher_agent_leaked_helpers 0\n');
});
