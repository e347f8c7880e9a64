/** What the product adds to its base image, unpacked: for tests that look at every file of it. */
import { execFile } from 'node:child_process';
import { mkdtemp, mkdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TestHost } from '../host/host.ts';

const run = promisify(execFile);
const MAX_LIST = 16 * 1024 * 1024;

export interface LayerEntry {
  /** Without a slash at either end. */
  readonly path: string;
  /** As `ls` shows it, e.g. `-rwxr-xr-x`. */
  readonly mode: string;
  readonly owner: string;
  /** ISO 8601, without a fraction. */
  readonly changed: string;
  /** Of a symbolic link. */
  readonly target?: string;
}

export interface ImageLayer {
  /** The image's own configuration, as it is in the archive. */
  readonly config: ImageConfig;
  readonly entries: readonly LayerEntry[];
  /** The layer as a tar. */
  readonly tar: string;
  /** The layer's files. */
  readonly root: string;
  dispose(): Promise<void>;
}

export interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly created: string;
  readonly config: {
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
    readonly Entrypoint: readonly string[];
  };
}

/** Saves an image and unpacks its uppermost layer. */
export async function readUppermostLayer(host: TestHost, image: string): Promise<ImageLayer> {
  const folder = await mkdtemp(join(tmpdir(), 'rah-layer-'));
  const dispose = async (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const archive = join(folder, 'archive');
    const root = join(folder, 'root');
    for (const path of [archive, root]) await mkdir(path);
    await host.docker('save', '--output', join(folder, 'image.tar'), image);
    await run('tar', ['-x', '-f', join(folder, 'image.tar'), '-C', archive]);
    const manifests = JSON.parse(await readFile(join(archive, 'manifest.json'), 'utf8')) as [
      { Config: string; Layers: string[] },
    ];
    const tar = join(archive, manifests[0].Layers.at(-1) ?? '');
    await run('tar', ['-x', '-f', tar, '-C', root]);
    const config = JSON.parse(await readFile(join(archive, manifests[0].Config), 'utf8')) as ImageConfig;
    return { config, entries: await listTar(tar), tar, root, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

async function listTar(tar: string): Promise<readonly LayerEntry[]> {
  const list = ['-t', '-v', '-f', tar, '--numeric-owner', '--full-time', '--utc', '--quoting-style=literal'];
  const { stdout } = await run('tar', list, { maxBuffer: MAX_LIST });
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => {
      const match = /^(\S{10}) +(\S+) +\d+ (\S+) (\S+) (.*?)(?: -> (.*))?$/.exec(line);
      if (!match) throw new Error(`not understood: ${line}`);
      const [, mode = '', owner = '', day = '', time = '', path = '', target] = match;
      return {
        path: path.replace(/\/$/, ''),
        mode,
        owner,
        changed: `${day}T${time}Z`,
        ...(target === undefined ? {} : { target }),
      };
    });
}

export interface Elf {
  /** E.g. `AArch64`. */
  readonly machine: string;
  /** Loader that it asks for; undefined for a library. */
  readonly interpreter: string | undefined;
  readonly needed: readonly string[];
}

/** @returns undefined for anything but an ELF file */
export async function readElf(file: string): Promise<Elf | undefined> {
  const start = (await readFile(file)).subarray(0, 4).toString('latin1');
  if (start !== '\x7fELF') return undefined;
  const options = { maxBuffer: MAX_LIST, env: { LC_ALL: 'C', PATH: '/usr/bin:/bin' } };
  const { stdout } = await run(
    'readelf',
    ['-W', '--file-header', '--program-headers', '--dynamic', file],
    options,
  );
  return {
    machine: /Machine:\s+(.*)/.exec(stdout)?.[1] ?? 'none',
    interpreter: /Requesting program interpreter: (.*)\]/.exec(stdout)?.[1],
    needed: [...stdout.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name = '']) => name),
  };
}
