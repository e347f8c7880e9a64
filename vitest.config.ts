import { defineConfig } from 'vitest/config';

/** Unit tests need nothing; engine and image tests start real Docker daemons a few files at a time. */
export default defineConfig({
  test: {
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts', 'test/repo/**/*.test.ts'] } },
      {
        test: {
          name: 'engine',
          include: ['test/engine/**/*.test.ts', 'test/image/**/*.test.ts'],
          pool: 'forks',
          globalSetup: ['test/support/host/global-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 300_000,
          fileParallelism: true,
          // They wait more than they work: three at a time on two cores.
          maxWorkers: 3,
        },
      },
    ],
  },
});
