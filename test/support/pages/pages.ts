import { renderFaultPage } from '../faults/fault-table.ts';
import { renderSwitchPage } from '../faults/switch-page.ts';
import { renderConfigurationPage } from './configuration.ts';
import { renderExitPage } from './exit-codes.ts';
import { renderScreensPage } from './screens.ts';

/** Every page that is generated from a table in the code, by its path. One script writes them all, and a test compares each. */
export const generatedPages: Readonly<Record<string, () => string>> = {
  'docs/configuration.md': renderConfigurationPage,
  'docs/exit-codes.md': renderExitPage,
  'docs/screens.md': renderScreensPage,
  'docs/development/fault-matrix.md': renderFaultPage,
  'docs/development/control-plane-faults.md': renderSwitchPage,
};
