import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { renderFaultPage } from '../support/faults/fault-table.ts';

it('the page of the fault matrix is the table that the tests run', async () => {
  const page = await readFile(new URL('../../docs/development/fault-matrix.md', import.meta.url), 'utf8');
  expect(page).toBe(renderFaultPage());
});
