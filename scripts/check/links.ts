/**
 * Whether the documents hold together: every link leads to a file and heading that is there, and every hint of the
 * program that names a place in the runbook finds it. Part of scripts/test.
 *
 * exit status: 0 they do, 1 they don't; then one line for each that doesn't
 */
import { readFileSync, globSync, existsSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
const documents = globSync(['*.md', '{scripts,test}/README.md', 'docs/**/*.md'], { cwd: root });
const problems = [...documents.flatMap(findBrokenLinks), ...findHintsToNowhere()];
for (const problem of problems) console.log(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

function findBrokenLinks(document: string): string[] {
  return [...read(document).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)].flatMap((match) => {
    const [, path = '', anchor] = match;
    const target = path === '' ? document : relative(root, join(root, dirname(document), path));
    if (!existsSync(join(root, target))) return [`${document}: there is no ${target}`];
    const isThere = anchor === undefined || headingsOf(target).map(slug).includes(anchor);
    return isThere ? [] : [`${document}: ${target} has no heading #${anchor}`];
  });
}

function findHintsToNowhere(): string[] {
  const headings = headingsOf('docs/runbook.md').map((heading) => heading.toLowerCase());
  return globSync('src/**/*.ts', { cwd: root }).flatMap((file) =>
    [...read(file).matchAll(/the runbook, "([^"]+)"/g)]
      .map(([, place = '']) => place)
      .filter((place) => !headings.includes(place.toLowerCase()))
      .map((place) => `${file}: the runbook has no heading "${place}"`),
  );
}

function headingsOf(document: string): string[] {
  return [...read(document).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
}

/** As GitHub makes anchors of headings. */
function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s-]/gu, '')
    .replace(/\s/g, '-');
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}
