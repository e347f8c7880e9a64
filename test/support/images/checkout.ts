/** Clean checkouts of the project in its present state, committed or not. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..', '..');
const author = ['-c', 'user.name=tests', '-c', 'user.email=tests@localhost'];
/** Enough for npm ci on a machine that has none of the packages. */
const BUILD_DEADLINE_MS = 5 * 60_000;

/** Creates a repository at `folder`. Its newest commit has every file of the project that git does not ignore. */
export async function makeOrigin(folder: string): Promise<void> {
  if (!existsSync(join(ROOT, '.git'))) {
    await makeOriginOfTarball(folder);
    return;
  }
  await git(ROOT, 'clone', '--quiet', '--no-hardlinks', ROOT, folder);
  for (const file of await listed('--deleted')) await rm(join(folder, file), { force: true });
  const gone = new Set(await listed('--deleted'));
  for (const file of await listed('--modified', '--others')) {
    if (gone.has(file)) continue;
    await mkdir(dirname(join(folder, file)), { recursive: true });
    await cp(join(ROOT, file), join(folder, file));
  }
  await git(folder, 'add', '--all');
  if ((await git(folder, 'status', '--porcelain')) !== '')
    await git(folder, ...author, 'commit', '--quiet', '--message', 'As it stands');
}

/** A project from a tarball has no history, so the repository is a new one. */
async function makeOriginOfTarball(folder: string): Promise<void> {
  const left = ['node_modules', '.cache'].map((name) => join(ROOT, name));
  await cp(ROOT, folder, { recursive: true, filter: (source) => !left.includes(source) });
  await git(folder, 'init', '--quiet');
  await git(folder, 'add', '--all');
  await git(folder, ...author, 'commit', '--quiet', '--message', 'As it was unpacked');
}

export async function checkOut(origin: string, folder: string): Promise<void> {
  await git(dirname(origin), 'clone', '--quiet', '--no-hardlinks', origin, folder);
}

/** Seconds since 1970. */
export async function commitTime(folder: string): Promise<number> {
  return Number(await git(folder, 'log', '-1', '--format=%ct'));
}

export interface BuildOptions {
  /** Where the engine listens. */
  readonly socketPath: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Octal, as a shell prints it. */
  readonly umask?: string;
}

/** Runs scripts/build-image in a checkout. @returns what it prints @throws with its error output */
export async function buildImageIn(
  folder: string,
  { socketPath, environment = {}, umask = '022' }: BuildOptions,
  ...args: readonly string[]
): Promise<string> {
  const command = `umask ${umask}; exec scripts/build-image "$@"`;
  const { stdout } = await run(
    'bash',
    ['-c', command, 'bash', '--host', `unix://${socketPath}`, ...args],
    // The environment of the test run is left out, because the project's Node is first in its PATH.
    {
      cwd: folder,
      env: { PATH: '/usr/local/bin:/usr/bin:/bin', HOME: process.env['HOME'], ...environment },
      timeout: BUILD_DEADLINE_MS,
    },
  );
  return stdout.trim();
}

async function listed(...which: readonly string[]): Promise<readonly string[]> {
  return (await git(ROOT, 'ls-files', '-z', '--exclude-standard', ...which)).split('\0').filter(Boolean);
}

async function git(folder: string, ...args: readonly string[]): Promise<string> {
  return (await run('git', ['-C', folder, ...args])).stdout.trim();
}
