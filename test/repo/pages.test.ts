import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { generatedPages } from '../support/pages/pages.ts';

it.each(Object.entries(generatedPages))(
  '%s is what the tables in the code say (npm run pages)',
  async (path, render) => {
    const page = await readFile(new URL(`../../${path}`, import.meta.url), 'utf8');
    expect(page).toBe(render());
  },
);
