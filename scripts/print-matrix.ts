import { writeFile } from 'node:fs/promises';
import { renderFaultPage } from '../test/support/faults/fault-table.ts';
import { renderSwitchPage } from '../test/support/faults/switch-page.ts';

/** Writes docs/development/fault-matrix.md and docs/development/control-plane-faults.md from the tables that the tests run. Unit tests compare them. */
await writeFile(new URL('../docs/development/fault-matrix.md', import.meta.url), renderFaultPage());
await writeFile(new URL('../docs/development/control-plane-faults.md', import.meta.url), renderSwitchPage());
