import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generatedPages } from '../../test/support/pages/pages.ts';

/** Writes every page that is generated from a table in the code (`npm run pages`). test/repo/pages.test.ts compares them. */
for (const [path, render] of Object.entries(generatedPages)) {
  await writeFile(join(import.meta.dirname, '..', '..', path), render());
}
