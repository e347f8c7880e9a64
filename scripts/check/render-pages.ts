import { writeFile } from 'node:fs/promises';
import { renderFaultPage } from '../../test/support/faults/fault-table.ts';
import { renderSwitchPage } from '../../test/support/faults/switch-page.ts';

/** Writes docs/fault-matrix.md and docs/control-plane-faults.md from the tables that the tests run. Unit tests compare them. */
await writeFile(new URL('../../docs/fault-matrix.md', import.meta.url), renderFaultPage());
await writeFile(new URL('../../docs/control-plane-faults.md', import.meta.url), renderSwitchPage());
