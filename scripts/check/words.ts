import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { everywhere, words as replaced, type Exception, type Word } from './word-list.ts';
import type { Tree } from './tree.ts';

/** A replaced word in a text that people read. */
export interface Finding {
  readonly word: string;
  readonly file: string;
  readonly line: number;
  readonly text: string;
  readonly instead: string;
}

/** How often each word is left in each file. */
export type WordsLeft = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** The list of what is left. It only shrinks, and is to become empty. */
export interface WordsFile {
  readonly about: readonly string[];
  readonly words: WordsLeft;
}

export const wordsFile = join(import.meta.dirname, 'words-left.json');

/** Reads the list of what is left. */
export function readWordsFile(): WordsFile {
  return JSON.parse(readFileSync(wordsFile, 'utf8')) as WordsFile;
}

/**
 * Looks in documents (README, CHANGELOG, docs) as a whole, and in `src` in every string: messages, help, causes, names of
 * metrics. The members of JSON are all in docs/json.md.
 */
export function findWords(tree: Tree, words: readonly Word[] = replaced): readonly Finding[] {
  return tree.files.flatMap((file) =>
    textsOf(tree, file).flatMap(({ line, text }) =>
      words.flatMap((word) =>
        [...text.matchAll(word.pattern)]
          .filter(() => !isExempt([...everywhere, ...(word.except ?? [])], file, text))
          .map(() => ({ word: word.name, file, line, text: text.trim(), instead: word.instead })),
      ),
    ),
  );
}

/** The findings as numbers, for the list of what is left. */
export function countWords(findings: readonly Finding[]): WordsLeft {
  const counts: Record<string, Record<string, number>> = {};
  for (const { word, file } of findings) {
    const ofWord = (counts[word] ??= {});
    ofWord[file] = (ofWord[file] ?? 0) + 1;
  }
  return counts;
}

/**
 * What is wrong: more of a word in a file than the list of what is left allows, or fewer, so that the list has to shrink.
 * A file that was moved has its number under its new path.
 */
export function checkWords(findings: readonly Finding[], left: WordsLeft): readonly string[] {
  const counts = countWords(findings);
  const keys = new Set(
    [counts, left].flatMap((lists) =>
      Object.entries(lists).flatMap(([word, files]) => Object.keys(files).map((file) => `${word}\n${file}`)),
    ),
  );
  return [...keys].sort().flatMap((key) => {
    const [word = '', file = ''] = key.split('\n');
    const found = counts[word]?.[file] ?? 0;
    const allowed = left[word]?.[file] ?? 0;
    if (found < allowed) {
      return [
        `${file}: "${word}" is left ${found} times, not ${allowed}: run node scripts/check/shrink-words.ts`,
      ];
    }
    if (found === allowed) return [];
    return findings
      .filter((each) => each.word === word && each.file === file)
      .map(({ line, text, instead }) => `${file}:${line}: "${word}" is now "${instead}": ${text}`);
  });
}

/**
 * The list of what is left after words were replaced or files moved.
 * @throws Error when a word is there more often than before, all files together: the list only shrinks
 */
export function shrinkWords(findings: readonly Finding[], left: WordsLeft): WordsLeft {
  const counts = countWords(findings);
  const grown = Object.keys(counts).filter((word) => sumOf(counts[word]) > sumOf(left[word]));
  if (grown.length > 0) throw new Error(`there are more of these than before: ${grown.join(', ')}`);
  return counts;
}

function sumOf(files: Readonly<Record<string, number>> = {}): number {
  return Object.values(files).reduce((sum, number) => sum + number, 0);
}

function isExempt(exceptions: readonly Exception[], file: string, text: string): boolean {
  return exceptions.some((each) => (each.in?.test(file) ?? true) && (each.text?.test(text) ?? true));
}

interface Text {
  readonly line: number;
  readonly text: string;
}

/** Rendered from tables and messages in `src`, where their words are found already. */
const rendered: readonly string[] = ['docs/configuration.md', 'docs/exit-codes.md', 'docs/screens.md'];

function textsOf(tree: Tree, file: string): readonly Text[] {
  if (rendered.includes(file)) return [];
  const isDocument = file.startsWith('docs/') || !file.includes('/');
  if (file.endsWith('.md') && isDocument) {
    return tree
      .read(file)
      .split('\n')
      .map((text, index) => ({ line: index + 1, text }));
  }
  return file.startsWith('src/') && file.endsWith('.ts') ? stringsOf(file, tree.read(file)) : [];
}

/** Every string and every part of a template, but for the paths of imports. */
function stringsOf(file: string, source: string): readonly Text[] {
  const parsed = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true);
  const texts: Text[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return;
    const isText =
      ts.isStringLiteralLike(node) ||
      ts.isTemplateHead(node) ||
      ts.isTemplateMiddle(node) ||
      ts.isTemplateTail(node);
    const isPath =
      ts.isCallExpression(node.parent) && node.parent.expression.kind === ts.SyntaxKind.ImportKeyword;
    if (isText && !isPath) {
      const { line } = parsed.getLineAndCharacterOfPosition(node.getStart(parsed));
      texts.push({ line: line + 1, text: node.text });
    }
    ts.forEachChild(node, visit);
  };
  ts.forEachChild(parsed, visit);
  return texts;
}
