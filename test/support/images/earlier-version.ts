/** Version 0.1 of the product, which knows nothing of readiness: built from the repository's own history. */
import { execFile } from 'node:child_process';
import { readFile, rm, symlink, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..', '..');
const BUILD_DEADLINE_MS = 10 * 60_000;

/** The last commit of version 0.1. */
export const earlierCommit = '44b6aa20da8f7e3bd32ce5e24991d8998f1c2d66';

/** Whether this checkout has it; one made from a tarball, or a shallow clone, does not. */
export async function hasEarlierCommit(): Promise<boolean> {
  return run('git', ['-C', ROOT, 'cat-file', '-e', `${earlierCommit}^{commit}`]).then(
    () => true,
    () => false,
  );
}

/**
 * Builds version 0.1 with its own build script. @param engine options of scripts/build-image that name engine and base
 */
export async function buildEarlierVersion(tag: string, engine: readonly string[]): Promise<void> {
  const folder = await mkdtemp(join(ROOT, '.cache', 'earlier-'));
  try {
    const unpack = 'git -C "$1" archive "$2" | tar -x -C "$3"';
    await run('bash', ['-o', 'pipefail', '-c', unpack, 'bash', ROOT, earlierCommit, folder]);
    await symlink(join(ROOT, '.cache'), join(folder, '.cache'));
    if (await hasSamePackages(folder)) await run('cp', ['-al', join(ROOT, 'node_modules'), folder]);
    await run(join(folder, 'scripts/build-image'), [...engine, '--tag', tag, '--revision', earlierCommit], {
      cwd: folder,
      timeout: BUILD_DEADLINE_MS,
      maxBuffer: 64 * 1024 * 1024,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** If they differ, the build script installs the packages of that commit. */
async function hasSamePackages(folder: string): Promise<boolean> {
  const [then, now] = await Promise.all(
    [folder, ROOT].map(async (root) => readFile(join(root, 'package-lock.json'), 'utf8')),
  );
  return then === now;
}
