/**
 * Whether the documents hold together: every link, anchor and section that is named is there, and every hint of the program
 * that names a place in the runbook finds it. Part of scripts/test.
 *
 * exit status: 0 they do, 1 they do not; then one line for each that does not
 */
import { join } from 'node:path';
import { checkCitations } from './check/citations.ts';
import { readTree } from './check/tree.ts';

const tree = readTree(join(import.meta.dirname, '..'));
const problems = checkCitations(tree);
for (const problem of problems) console.log(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
