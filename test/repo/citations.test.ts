import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { checkCitations } from '../../scripts/check/citations.ts';
import { readTree, type Tree } from '../../scripts/check/tree.ts';

/* The sign is written as an escape here: the check reads this file as well, and these sections are not there. */
const page = `# Contract

## 1. Profiles

1. The first.
2. The second.

### 1.1 Names

**(A) A paragraph with a letter.**

## 2. Names

**3. A lead.** See \u00A71.2 and [names](#names), [the other](#2-names), [the reader's page](../README.md#use-it).
`;
const sound: Readonly<Record<string, string>> = {
  'README.md':
    '# Readme\n\n## Use it\n\n[contract](docs/contract.md), [docs](docs), [profiles](docs/contract.md#1-profiles)\n',
  'docs/contract.md': page.replace('[names](#names), ', ''),
  'docs/runbook.md': '# Runbook\n\n## The storage is low\n\n```\n# Not a heading\n```\n',
  'src/a.ts':
    '/**\n * As contract \u00A71.1 A says, and\n * \u00A72: docs/contract.md.\n */\nconst hint = \'the runbook, "the storage is low"\';\n',
};

function treeOf(files: Readonly<Record<string, string>>): Tree {
  const names = Object.keys(files);
  return {
    files: names,
    read: (file) => files[file] ?? '',
    has: (path) => names.some((name) => name === path || name.startsWith(`${path}/`)),
  };
}

it('finds nothing where every link, section, page and place is there', () => {
  expect(checkCitations(treeOf(sound))).toEqual([]);
});

it('finds nothing in this repository', () => {
  expect(checkCitations(readTree(join(import.meta.dirname, '../..')))).toEqual([]);
});

describe('finds', () => {
  it.each([
    [
      'a link to a page that is not there',
      'README.md',
      '[x](docs/gone.md)',
      'README.md:1: there is no docs/gone.md',
    ],
    [
      'an anchor that no heading has',
      'README.md',
      '[x](docs/contract.md#1-profile)',
      'README.md:1: docs/contract.md has no heading #1-profile',
    ],
    [
      'an anchor that is a comment in a fence',
      'README.md',
      '[x](docs/runbook.md#not-a-heading)',
      'README.md:1: docs/runbook.md has no heading #not-a-heading',
    ],
    [
      'a section that is not there',
      'src/a.ts',
      '// contract \u00A73.1',
      'src/a.ts:1: contract has no \u00A73.1',
    ],
    [
      'an item that is not there',
      'src/a.ts',
      '// contract \u00A71.3',
      'src/a.ts:1: contract has no \u00A71.3',
    ],
    ['the end of a range', 'src/a.ts', '// contract \u00A71–4', 'src/a.ts:1: contract has no \u00A74'],
    [
      'a section in a string',
      'src/a.ts',
      "const title = 'contract \u00A79';",
      'src/a.ts:1: contract has no \u00A79',
    ],
    [
      'a section of the page named a line before',
      'src/a.ts',
      '// contract \u00A71 and\n// \u00A77',
      'src/a.ts:2: contract has no \u00A77',
    ],
    [
      'a section of no page',
      'src/a.ts',
      '// see \u00A71',
      'src/a.ts:1: "see \u00A71" does not say of which page',
    ],
    [
      'a dead section in a page',
      'docs/json.md',
      'As contract \u00A75 says',
      'docs/json.md:1: contract has no \u00A75',
    ],
    ['a page that a comment names', 'src/a.ts', '// docs/gone.md', 'src/a.ts:1: there is no docs/gone.md'],
    [
      'a page without a section',
      'src/a.ts',
      '// (engine-notes)',
      'src/a.ts:1: "engine-notes" names no section (engine-notes \u00A72, incident \u00A72.7)',
    ],
    [
      'a hint to a place that the runbook does not have',
      'src/a.ts',
      '\'see the runbook, "the disk is full"\'',
      'src/a.ts: the runbook has no heading "the disk is full"',
    ],
  ])('%s', (_title, file, text, problem) => {
    expect(checkCitations(treeOf({ ...sound, [file]: text }))).toContain(problem);
  });
});
