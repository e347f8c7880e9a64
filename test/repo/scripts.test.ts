import { execFile } from 'node:child_process';
import { existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const entries = readdirSync(join(root, 'scripts'), { withFileTypes: true });
const commands = entries
  .filter((entry) => entry.isFile() && entry.name !== 'README.md')
  .map(({ name }) => name);

/** Paths below /scripts/ of a Rancher server, and placeholders in texts: they are no files of this project. */
const ofServers = /^scripts\/(?:bootstrap|ca\.crt|unknown|T|TOKEN)$/;

/** A path that a text names, without the full stop of its sentence. */
function pathsIn(file: string): readonly string[] {
  const paths = [...read(file).matchAll(/(?<![\w/.@-])scripts\/[\w-]+(?:[./][\w-]+)*/g)].map(
    ([path]) => path,
  );
  return paths.filter((path) => !ofServers.test(path));
}

/** Documents, sources and scripts: whatever names a script to a person. */
const texts = globSync(
  ['*.md', '.ci/*', '.github/**/*.{md,yml}', 'docs/**/*.md', '{src,test,image,scripts}/**/*'],
  { cwd: root },
).filter(
  (file) =>
    /(?:\.(?:md|ts|yml|sh|lock)|Dockerfile|\/[\w-]+)$/.test(file) && statSync(join(root, file)).isFile(),
);

describe('the scripts', () => {
  it('scripts/README.md lists every command and every folder, and no other', () => {
    const listed = [...read('scripts/README.md').matchAll(/^\| `([\w-]+)(\/?)`/gm)].map(
      ([, name = '', slash = '']) => `${name}${slash}`,
    );
    const found = entries
      .filter(({ name }) => name !== 'README.md')
      .map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name));
    expect(listed.toSorted()).toEqual(found.toSorted());
  });

  it.each(commands)('scripts/%s --help says how it is used and exits with 0', async (name) => {
    const { stdout } = await run(join(root, 'scripts', name), ['--help'], { cwd: root, timeout: 60_000 });
    expect(stdout).toMatch(new RegExp(`usage: scripts/${name}\\b`, 'i'));
  });

  it('every script that a document, a comment or a message names exists', () => {
    expect(texts.length).toBeGreaterThan(300);
    const missing = texts.flatMap((file) =>
      pathsIn(file)
        .filter((path) => !existsSync(join(root, path)))
        .map((path) => `${file}: ${path}`),
    );
    expect(missing).toEqual([]);
  });

  it('every script of package.json that a document, a comment or a message names exists', () => {
    const { scripts } = JSON.parse(read('package.json')) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    const missing = texts.flatMap((file) =>
      [...read(file).matchAll(/(?:npm run|node --run) ([\w:-]+)/g)]
        .filter(([, name = '']) => !Object.hasOwn(scripts, name))
        .map(([call]) => `${file}: ${call}`),
    );
    expect(missing).toEqual([]);
  });

  it('the smoke test of scripts/test quick names a test that exists', () => {
    const [, title = ''] = /^smoke="(.*)"$/m.exec(read('scripts/test')) ?? [];
    expect(title).not.toBe('');
    expect(read('test/engine/upgrade/upgrade.test.ts').replaceAll("\\'", "'")).toContain(title);
  });
});
