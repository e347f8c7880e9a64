import { writeFile } from 'node:fs/promises';
import { renderFaultPage } from '../test/support/fault-table.ts';

/** Writes docs/fault-matrix.md from the table that the tests run. A unit test compares the two. */
await writeFile(new URL('../docs/fault-matrix.md', import.meta.url), renderFaultPage());
