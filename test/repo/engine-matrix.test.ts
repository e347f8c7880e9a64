import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import {
  renderEnginePage,
  withCell,
  type EngineCell,
  type EngineMatrix,
} from '../support/faults/engine-matrix.ts';

async function read(name: string): Promise<string> {
  return readFile(new URL(`../../docs/development/${name}`, import.meta.url), 'utf8');
}

it('the page of the engines is what was kept of the runs', async () => {
  const matrix = JSON.parse(await read('engine-matrix.json')) as EngineMatrix;
  expect(await read('engine-matrix.md')).toBe(renderEnginePage(matrix));
});

const cell: EngineCell = {
  ...{ engine: 'sid', api: 'own', file: 'test/engine/agent/run.test.ts', passed: 12, failures: [] },
  ...{ seconds: 30, commit: '0123abc', date: '2026-01-02' },
};
const empty: EngineMatrix = { engines: {}, files: ['test/engine/agent/run.test.ts'], cells: [] };

it('a cell takes the place of its older run, and of no other', () => {
  const first = withCell(withCell(empty, { ...cell, failures: ['a test'] }), { ...cell, api: '1.24' });
  expect(withCell(first, cell).cells).toEqual([{ ...cell, api: '1.24' }, cell]);
});

it('a cell that failed is red and names its tests; one that was not run says so', () => {
  const page = renderEnginePage(withCell(empty, { ...cell, passed: 11, failures: ['run ends'] }));
  expect(page).toContain('| engine/agent/run | – | – | **1 ✗**, 11 ✓ 0123abc | – | – | – | – |');
  expect(page).toContain('- sid, API own, test/engine/agent/run.test.ts: run ends');
  expect(page).toContain('1 cells were run on 2026-01-02: 11 tests passed, 1 failed.');
});
