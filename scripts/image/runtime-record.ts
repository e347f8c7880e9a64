/** What scripts/image/assemble-runtime put together, as it records it; or, without a record, as the lock files say it. */
import { readFileSync } from 'node:fs';

export interface DebianPackage {
  readonly architecture: string;
  readonly package: string;
  readonly version: string;
  readonly sha256: string;
  readonly source: string;
  readonly sourceVersion: string;
}

export interface Runtime {
  /** As Debian calls it: `amd64` or `arm64`. */
  readonly arch: string;
  /** Version of Node. */
  readonly node: string;
  /** Checksum of Node's binary before it was stripped; undefined where nothing was assembled. */
  readonly nodeSha256?: string;
  readonly debian: readonly DebianPackage[];
}

/** What would be assembled: the Node of package-lock.json, the libraries of image/debian.lock. */
export function lockedRuntime(arch: string): Runtime {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  const node = packages[`node_modules/node-linux-${arch.replace('amd64', 'x64')}`]?.version;
  if (node === undefined) throw new Error(`package-lock.json pins no Node for ${arch}`);
  const rows = readFileSync('image/debian.lock', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith(`${arch} `));
  return { arch, node, debian: rows.map(readRow) };
}

function readRow(line: string): DebianPackage {
  const [architecture = '', name = '', version = '', sha256 = '', source, sourceVersion] = line.split(' ');
  if (source === undefined || sourceVersion === undefined)
    throw new Error(`image/debian.lock is not understood: ${line}`);
  return { architecture, package: name, version, sha256, source, sourceVersion };
}
