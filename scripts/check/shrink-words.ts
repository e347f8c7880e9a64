/**
 * Writes scripts/check/words-left.json again after old words were replaced, or files with some were moved. It refuses when a
 * word is there more often than before: the list only shrinks.
 *
 * usage: node scripts/check/shrink-words.ts
 * exit status: 0 written, 1 refused
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readTree } from './tree.ts';
import { findWords, readWordsFile, shrinkWords, wordsFile } from './words.ts';

const root = join(import.meta.dirname, '../..');
try {
  const left = readWordsFile();
  const words = shrinkWords(findWords(readTree(root)), left.words);
  writeFileSync(wordsFile, `${JSON.stringify({ about: left.about, words }, undefined, 2)}\n`);
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
