/**
 * Whether the documents hold together: every link, anchor and section that is named is there, every hint of the program
 * that names a place in the runbook finds it, and no word is used that the glossary has replaced. Part of scripts/test.
 *
 * exit status: 0 they do, 1 they do not; then one line for each that does not
 */
import { join } from 'node:path';
import { checkCitations } from './citations.ts';
import { readTree } from './tree.ts';
import { checkWords, findWords, readWordsFile } from './words.ts';

const tree = readTree(join(import.meta.dirname, '..', '..'));
const problems = [...checkCitations(tree), ...checkWords(findWords(tree), readWordsFile().words)];
for (const problem of problems) console.log(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
