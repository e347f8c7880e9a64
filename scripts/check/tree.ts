import { existsSync, globSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** The files that a check reads; a test gives it a tree of its own. */
export interface Tree {
  /** Paths from the root, with `/`. */
  readonly files: readonly string[];
  read(file: string): string;
  /** Whether there is a file or a folder of that path. */
  has(path: string): boolean;
}

/** Folders and files that are written, not generated, from the root of the repository. */
const written = [
  '*.md',
  'docs/**/*',
  'src/**/*',
  'test/**/*',
  'scripts/**/*',
  'image/**/*',
  '.github/**/*',
  '.gitlab/**/*',
];
const mostBytes = 1_000_000;

/** The files of the repository at `root`. */
export function readTree(root: string): Tree {
  const files = globSync(written, { cwd: root }).filter((file) => {
    const facts = statSync(join(root, file));
    return facts.isFile() && facts.size <= mostBytes;
  });
  return {
    files: files.toSorted(),
    read: (file) => readFileSync(join(root, file), 'utf8'),
    has: (path) => existsSync(join(root, path)),
  };
}
