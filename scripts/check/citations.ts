import { basename, dirname, posix } from 'node:path';
import { anchorsOf, headingsOf, proseOf, sectionsOf } from './markdown.ts';
import type { Tree } from './tree.ts';

/**
 * Follows what one file says of another: links and anchors of Markdown pages, sections (`contract §5`), pages and headings
 * that comments and hints name.
 *
 * A section is cited by the name of its page and its number: `control-plane §5.3`, `engine-notes §2 and §3`,
 * `control-plane §6.2 B`. A `§` without a name belongs to the page that was named last in the same comment or paragraph, and in a page with
 * numbered sections of its own to that page.
 */
export function checkCitations(tree: Tree): readonly string[] {
  const pages = new Map(
    tree.files
      .filter((file) => file.startsWith('docs/') && file.endsWith('.md'))
      .map((file) => [basename(file, '.md'), sectionsOf(tree.read(file))] as const),
  );
  return tree.files.flatMap((file) => {
    if (file.endsWith('.md')) return [...brokenLinks(tree, file), ...brokenSectionsOfPage(tree, file, pages)];
    if (!isText(file)) return [];
    const blocks = blocksOf(tree.read(file), file.endsWith('.ts'));
    return [
      ...blocks.flatMap((block) => brokenSections(file, block, pages)),
      ...blocks.flatMap((block) => missingPages(tree, file, block)),
      ...hintsToNowhere(tree, file),
    ];
  });
}

type Pages = ReadonlyMap<string, ReadonlySet<string>>;

/** Lines that belong together: a comment, a paragraph, or a line of code. */
interface Block {
  readonly line: number;
  readonly text: string;
  readonly isComment: boolean;
}

function isText(file: string): boolean {
  return !/\.(json|csv|svg|crt|key|pem|lock)$/.test(file);
}

function brokenLinks(tree: Tree, file: string): readonly string[] {
  const prose = proseOf(tree.read(file)).map(({ number, text }) => ({
    number,
    text: text.replace(/`[^`]*`/g, '`'),
  }));
  return prose.flatMap(({ number, text }) =>
    [...text.matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(
      ([, path = '', anchor]) => {
        const target = path === '' ? file : posix.normalize(posix.join(dirname(file), path));
        if (!tree.has(target)) return [`${file}:${number}: there is no ${target}`];
        const isThere = anchor === undefined || anchorsOf(tree.read(target)).has(anchor);
        return isThere ? [] : [`${file}:${number}: ${target} has no heading #${anchor}`];
      },
    ),
  );
}

function brokenSectionsOfPage(tree: Tree, file: string, pages: Pages): readonly string[] {
  const name = basename(file, '.md');
  const own = (pages.get(name)?.size ?? 0) > 0 ? name : undefined;
  return proseOf(tree.read(file)).flatMap(({ number, text }) =>
    brokenSections(file, { line: number, text, isComment: false }, pages, own),
  );
}

const citation =
  /(?:([\w-]+)(?:\.md)?`? )?§(\d+(?:\.\d+)*)(?:[–-]§?(\d+(?:\.\d+)*))?(?: ([A-Z])(?=[\s)\]:,;.]))?/g;

function brokenSections(file: string, block: Block, pages: Pages, own?: string): readonly string[] {
  let page = own;
  return [...block.text.matchAll(citation)].flatMap((match) => {
    const [whole, word = '', first = '', last, letter] = match;
    if (/\bRFC $/.test(block.text.slice(0, match.index))) return [];
    const named = word.toLowerCase();
    if (pages.has(named)) page = named;
    const line = block.line + block.text.slice(0, match.index).split('\n').length - 1;
    if (page === undefined) return [`${file}:${line}: "${whole.trim()}" does not say of which page`];
    const sections = pages.get(page) ?? new Set();
    const lettered =
      letter !== undefined && sections.has(`${first} ${letter}`) ? `${first} ${letter}` : first;
    return [lettered, ...(last === undefined ? [] : [last])]
      .filter((section) => !sections.has(section))
      .map((section) => `${file}:${line}: ${page ?? ''} has no §${section}`);
  });
}

/** A page that a comment names: a path from the root, so that it can be opened. */
function missingPages(tree: Tree, file: string, { line, text, isComment }: Block): readonly string[] {
  if (!isComment) return [];
  const unnumbered = [.../\bengine-notes\b(?! §|\.md)|\bincident, why\b/g[Symbol.matchAll](text)].map(
    ([word]) => `${file}:${line}: "${word}" names no section (engine-notes §2, incident §2.7)`,
  );
  const missing = [...text.matchAll(/(?<![\w./<-])[\w./-]+\.md\b/g)]
    .map(([path]) => path)
    .filter((path) => !tree.has(path))
    .map((path) => `${file}:${line}: there is no ${path}`);
  return [...unnumbered, ...missing];
}

/** A place in the runbook that a hint of the program names. */
function hintsToNowhere(tree: Tree, file: string): readonly string[] {
  if (!file.startsWith('src/')) return [];
  const places = [...tree.read(file).matchAll(/the runbook, "([^"]+)"/g)].map(([, place = '']) => place);
  if (places.length === 0) return [];
  const headings = headingsOf(tree.read('docs/runbook.md')).map((heading) => heading.toLowerCase());
  return places
    .filter((place) => !headings.includes(place.toLowerCase()))
    .map((place) => `${file}: the runbook has no heading "${place}"`);
}

/** Comments as wholes, so that a `§` knows the page that was named a line before; every other line for itself. */
function blocksOf(source: string, isTypeScript: boolean): readonly Block[] {
  const comment = isTypeScript ? /^\s*(\/\*|\*(?!\*)|\/\/)/ : /^\s*#/;
  const blocks: { line: number; text: string; isComment: boolean }[] = [];
  source.split('\n').forEach((text, index) => {
    const isComment = comment.test(text);
    const isNew = /^\s*\/\*/.test(text);
    const before = blocks.at(-1);
    if (isComment && !isNew && before?.isComment === true) before.text += `\n${text}`;
    else blocks.push({ line: index + 1, text, isComment });
  });
  return blocks;
}
