import { accessSync, constants, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { format } from 'prettier';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const workflows = ['.gitlab-ci.yml', ...globSync('.github/workflows/*.yml', { cwd: root })];
const forms = globSync('.github/ISSUE_TEMPLATE/*.yml', { cwd: root });

/** Paths of the project's scripts in a workflow, its comments left out. */
function scriptsIn(file: string): readonly string[] {
  const text = read(file).replaceAll(/^\s*#.*$/gm, '');
  return [...text.matchAll(/(?<![\w./-])(?:\.ci|scripts)\/[\w.-]+(?:\/[\w.-]+)*/g)].map(([path]) => path);
}

describe('the workflows of build servers', () => {
  it.each([...workflows, ...forms])('%s is well-formed YAML', async (file) => {
    await expect(format(read(file), { parser: 'yaml' })).resolves.not.toBe('');
  });

  it('the check for YAML refuses what is not well-formed', async () => {
    await expect(format('a: [b\nc: }', { parser: 'yaml' })).rejects.toThrow();
  });

  it.each(workflows)('%s calls scripts that exist and can be run', (file) => {
    const scripts = scriptsIn(file);
    expect(scripts).not.toEqual([]);
    for (const script of scripts) accessSync(join(root, script), constants.X_OK);
  });

  it('GitHub and GitLab both run .ci/run, .ci/run quick and scripts/build-image', () => {
    const gitHub = globSync('.github/workflows/*.yml', { cwd: root }).map(read).join('\n');
    for (const text of [gitHub, read('.gitlab-ci.yml')]) {
      for (const call of [/\.ci\/run$/m, /\.ci\/run quick$/m, /scripts\/build-image /])
        expect(text).toMatch(call);
    }
  });
});

it('an issue form asks for what doctor --json prints', () => {
  expect(forms.filter((file) => read(file).includes('IMAGE doctor --json'))).not.toEqual([]);
});

it('.node-version names the Node that package-lock.json pins', () => {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  const pinned = ['x64', 'arm64'].map((name) => packages[`node_modules/node-linux-${name}`]?.version);
  expect(pinned).toEqual([read('.node-version').trim(), read('.node-version').trim()]);
});
