import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { TestSpecification, Vitest } from 'vitest/node';
import { expect, it } from 'vitest';
import LongestFirst, { longFiles } from '../support/run/longest-first.ts';

const root = join(import.meta.dirname, '..', '..');

it('every file in the table of long test files exists', () => {
  expect(Object.keys(longFiles).filter((file) => !existsSync(join(root, file)))).toEqual([]);
});

it('long test files start first, the longest one at the beginning', async () => {
  const project = { name: 'engine', config: { sequence: { groupOrder: 0 }, isolate: true } };
  const cache = { getTestSpecificationResult: () => ({ failed: false, duration: 1 }) };
  const context = { config: { root }, cache } as unknown as Vitest;
  const files = [
    'upgrade/target',
    'doctor/doctor',
    'readiness/readiness',
    'server/register',
    'upgrade/upgrade',
  ].map(
    (name) =>
      ({
        project,
        moduleId: join(root, 'test', 'engine', `${name}.test.ts`),
      }) as unknown as TestSpecification,
  );
  const sorted = await new LongestFirst(context).sort(files);
  expect(sorted.map(({ moduleId }) => /(\w+)\.test\.ts$/.exec(moduleId)?.[1])).toEqual([
    'readiness',
    'upgrade',
    'doctor',
    'target',
    'register',
  ]);
});
