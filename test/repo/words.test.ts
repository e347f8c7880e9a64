import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readTree, type Tree } from '../../scripts/check/tree.ts';
import { words } from '../../scripts/check/word-list.ts';
import { checkWords, countWords, findWords, readWordsFile, shrinkWords } from '../../scripts/check/words.ts';

function treeOf(files: Readonly<Record<string, string>>): Tree {
  return { files: Object.keys(files), read: (file) => files[file] ?? '', has: (path) => path in files };
}

function wordsIn(file: string, text: string): readonly string[] {
  return findWords(treeOf({ [file]: text })).map(({ word, line }) => `${word}:${line}`);
}

it('no text of this repository uses more replaced words than the list allows, and the list allows no more than there are', () => {
  const findings = findWords(readTree(join(import.meta.dirname, '../..')));
  expect(checkWords(findings, readWordsFile().words)).toEqual([]);
});

describe('a replaced word', () => {
  it.each([
    ['in a document', 'docs/a.md', 'fine\nthe agent in office', ['in office:2']],
    ['in the README', 'README.md', 'a corpse', ['corpse:1']],
    ['in a message', 'src/a.ts', "log.info('nothing was made');", ['made:1']],
    [
      'in a part of a template',
      'src/a.ts',
      'const a = `x ${b}\n of late ${c} anew`;',
      ['of late:1', 'anew:2'],
    ],
    ['as a cause', 'src/a.ts', "const cause = 'ping-pong';", ['quarrel:1']],
    ['in the name of a metric', 'src/a.ts', "const name = 'rancher_agent_corpses';", ['corpse:1']],
    ['as a contraction', 'src/a.ts', 'const a = "it can’t be removed";', ['contraction:1']],
  ])('is found %s', (_title, file, text, found) => {
    expect(wordsIn(file, text)).toEqual(found);
  });

  it.each([
    ['in a comment', 'src/a.ts', '// the agent in office'],
    ['as an identifier', 'src/a.ts', 'const corpses = strangers.keeper;'],
    [
      'in the path of an import',
      'src/a.ts',
      "import { a } from './keeper.ts';\nawait import('./keeper.ts');",
    ],
    ['in a test', 'test/a.ts', "it('a corpse')"],
    [
      'where an exception has its reason',
      'docs/reference/a.md',
      "upstream's script; the promise never settles",
    ],
  ])('is not looked for %s', (_title, file, text) => {
    expect(wordsIn(file, text)).toEqual([]);
  });
});

describe('the list of what is left', () => {
  const found = findWords(treeOf({ 'docs/a.md': 'a corpse\na corpse' }));

  it.each([
    ['allows what is there', 2, []],
    [
      'names every place in a file that has more than it allows',
      1,
      [1, 2].map((line) => `docs/a.md:${line}: "corpse" is now "unremovable container; dead": a corpse`),
    ],
    [
      'has to shrink',
      3,
      ['docs/a.md: "corpse" is left 2 times, not 3: run node scripts/check/shrink-words.ts'],
    ],
  ])('%s', (_title, allowed, problems) => {
    expect(checkWords(found, { corpse: { 'docs/a.md': allowed } })).toEqual(problems);
  });

  it('follows a file that was moved, and never grows', () => {
    expect(shrinkWords(found, { corpse: { 'docs/old.md': 2 } })).toEqual({ corpse: { 'docs/a.md': 2 } });
    expect(() => shrinkWords(found, { corpse: { 'docs/a.md': 1 } })).toThrow(
      'more of these than before: corpse',
    );
  });

  it('names only words of the table', () => {
    expect(
      Object.keys(readWordsFile().words).filter((name) => !words.some((word) => word.name === name)),
    ).toEqual([]);
  });
});

it('every word of the table is found by its own name, and none of what stands instead', () => {
  const names = words.filter(({ name }) => name !== 'contraction').map(({ name }) => name);
  const counts = countWords(findWords(treeOf({ 'README.md': names.join('\n') })));
  expect(names.filter((name) => counts[name] === undefined)).toEqual([]);
  const instead = words.map((word) => word.instead).join('\n');
  expect(findWords(treeOf({ 'README.md': instead }))).toEqual([]);
});
