import { defineConfig } from 'vitest/config';
import LongestFirst from './test/support/run/longest-first.ts';

/** Two projects: `unit` needs nothing, `engine` starts real Docker engines. See test/README.md. */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/repo/**/*.test.ts'] } },
      {
        test: {
          name: 'engine',
          include: ['test/engine/**/*.test.ts', 'test/image/**/*.test.ts'],
          pool: 'forks',
          globalSetup: ['test/support/run/global-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: true,
          // They wait more than they work: three at a time on two cores. TEST_WORKERS=4 tries more on a larger machine.
          maxWorkers: Number(process.env['TEST_WORKERS'] ?? 3),
        },
      },
    ],
  },
});
