/** The components of the bill of materials: what each part of the image is, and where it is from. */
import { Enums, Models } from '@cyclonedx/cyclonedx-library';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { partOrigins, partsOfNode, plainVersion } from './node-parts.ts';
import type { DebianPackage, Runtime } from './runtime-record.ts';

export const PROJECT = 'rancher-agent-entrypoint';
/** Where everything but the launcher is, in the image. */
const HOME = `usr/lib/${PROJECT}`;

/** Of Debian's packages: what ships, its licence, and the upstream product; the others are there for licence texts only. */
const LIBRARIES: Readonly<Record<string, { readonly license: string; readonly cpe: string }>> = {
  libc6: { license: 'LGPL-2.1-or-later', cpe: 'gnu:glibc' },
  'libgcc-s1': { license: 'GPL-3.0-or-later WITH GCC-exception-3.1', cpe: 'gnu:gcc' },
  'libstdc++6': { license: 'GPL-3.0-or-later WITH GCC-exception-3.1', cpe: 'gnu:gcc' },
};
/** Which of them a file in lib/ is from. */
const OWNERS: Readonly<Record<string, string>> = {
  'libstdc++.so.6': 'libstdc++6',
  'libgcc_s.so.1': 'libgcc-s1',
};

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
}

interface LockEntry {
  readonly version?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly devOptional?: boolean;
}

export function property(name: string, value: string): Models.Property {
  return new Models.Property(`${PROJECT}:${name}`, value);
}

/** A package of npm in the bundle. @param folder e.g. `node_modules/undici` @throws if it is not the one of package-lock.json */
export function describePackage(folder: string): Models.Component {
  const { name, version, license } = readManifest(folder);
  const locked = lockEntry(folder);
  if (locked.version !== version)
    throw new Error(`${folder} is ${version}, and not what package-lock.json says`);
  // It would be another bundle where that tool is not installed.
  if (locked.dev === true || locked.devOptional === true)
    throw new Error(`${folder} is in the bundle, and nothing but a tool of development needs it`);
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  return new Models.Component(Enums.ComponentType.Library, name, {
    bomRef: purl,
    version,
    hashes: hashOfPackage(folder),
    licenses: licensed(license),
    purl,
  });
}

/** Node, as npm has it, and what is inside. @param compared file of scripts/image/compare-node */
export function describeNode(runtime: Runtime, compared: string): Models.Component {
  const name = `node-linux-${runtime.arch.replace('amd64', 'x64')}`;
  const purl = `pkg:npm/${name}@${runtime.node}`;
  const node = new Models.Component(Enums.ComponentType.Platform, 'node', {
    bomRef: purl,
    version: runtime.node,
    hashes: hashOfPackage(`node_modules/${name}`),
    licenses: licensed('MIT'),
    cpe: cpeOf(['nodejs', 'node.js'], runtime.node),
    purl,
    components: new Models.ComponentRepository(describeParts(purl, runtime.node)),
    properties: new Models.PropertyRepository([property('origin', originOfNode(name, runtime, compared))]),
  });
  if (runtime.nodeSha256 !== undefined)
    node.properties.add(property('sha256-before-stripping', runtime.nodeSha256));
  return node;
}

function describeParts(node: string, version: string): readonly Models.Component[] {
  return Object.entries(partsOfNode(version)).map(([name, found]) => {
    const origin = partOrigins[name];
    if (origin === undefined) throw new Error(`no origin of ${name} is known`);
    const { purl, tag, cpe } = origin;
    return new Models.Component(Enums.ComponentType.Library, name, {
      bomRef: `${node}#${name}`,
      version: found,
      purl: `${purl}@${tag?.(found) ?? found}`,
      ...(cpe === undefined ? {} : { cpe: cpeOf(cpe, plainVersion(name, found)) }),
    });
  });
}

/** Only what was compared counts as compared: by the binary's own checksum. */
function originOfNode(name: string, { nodeSha256 }: Runtime, compared: string): string {
  const from = `npm package ${name}, with the checksum of package-lock.json`;
  const rows = readFileSync(compared, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(' '));
  const row = rows.find(([, , sha256]) => nodeSha256 !== undefined && sha256 === nodeSha256);
  if (row === undefined) return `${from}; not compared with nodejs.org`;
  const [, , , key = '', date = ''] = row;
  return `${from}; the same as in nodejs.org's archive, whose list key ${key} signed (compared ${date})`;
}

export function describeLibraries(runtime: Runtime): readonly Models.Component[] {
  return runtime.debian.flatMap((it) => {
    const library = LIBRARIES[it.package];
    if (library === undefined) return [];
    const [vendor = '', product = ''] = library.cpe.split(':');
    const purl = purlOfDebian(it, 'debian', 'debian-12');
    return new Models.Component(Enums.ComponentType.Library, it.package, {
      bomRef: purl,
      version: it.version,
      hashes: new Models.HashDictionary([[Enums.HashAlgorithm['SHA-256'], it.sha256]]),
      licenses: licensed(library.license),
      cpe: cpeOf([vendor, product], it.sourceVersion.replace(/^\d+:/, '').replace(/-[^-]*$/, '')),
      purl,
    });
  });
}

/** @param namespace `debian` or `ubuntu` @param distro e.g. `debian-12` */
export function purlOfDebian(it: Omit<DebianPackage, 'sha256'>, namespace: string, distro: string): string {
  const upstream = it.sourceVersion === it.version ? it.source : `${it.source}@${it.sourceVersion}`;
  const qualifiers = { arch: it.architecture, distro, upstream };
  const query = Object.entries(qualifiers).map(([key, value]) => `${key}=${encodeURIComponent(value)}`);
  return `pkg:deb/${namespace}/${encodeURIComponent(it.package)}@${encodeURIComponent(it.version)}?${query.join('&')}`;
}

/**
 * Puts each file that ships under the component that it is from: Node's, a library's, or the project's own.
 *
 * @param root what becomes the image's layer; the bill itself is not in it yet
 */
export function addFiles(
  root: string,
  application: Models.Component,
  components: readonly Models.Component[],
): void {
  const byName = new Map(components.map((component) => [component.name, component]));
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const file = join(entry.parentPath, entry.name);
    const path = file.slice(root.length + 1);
    const owner = byName.get(ownerOf(path)) ?? application;
    owner.components.add(describeFile(file, path, owner));
  }
}

function ownerOf(path: string): string {
  if (path === `${HOME}/bin/node`) return 'node';
  const library = path.startsWith(`${HOME}/lib/`) ? path.slice(HOME.length + 5) : undefined;
  return library === undefined ? PROJECT : (OWNERS[library] ?? 'libc6');
}

function describeFile(file: string, path: string, { version }: Models.Component): Models.Component {
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
  const described = path.endsWith('.cache')
    ? { description: 'entrypoint.js as the Node of this image compiles it: this is what runs' }
    : {};
  return new Models.Component(Enums.ComponentType.File, `/${path}`, {
    bomRef: `file:/${path}`,
    ...(version === undefined ? {} : { version }),
    hashes: new Models.HashDictionary([[Enums.HashAlgorithm['SHA-256'], sha256]]),
    ...described,
  });
}

export function cpeOf([vendor, product]: readonly [string, string], version: string): string {
  return `cpe:2.3:a:${vendor}:${product}:${version.replace(/[^\w.-]/g, '\\$&')}:*:*:*:*:*:*:*`;
}

export function licensed(expression: string): Models.LicenseRepository {
  return new Models.LicenseRepository([new Models.LicenseExpression(expression)]);
}

/** The checksum that package-lock.json has of a package. */
function hashOfPackage(folder: string): Models.HashDictionary {
  const [algorithm, checksum = ''] = (lockEntry(folder).integrity ?? '').split('-');
  if (algorithm !== 'sha512') throw new Error(`package-lock.json has no SHA-512 of ${folder}`);
  const hex = Buffer.from(checksum, 'base64').toString('hex');
  return new Models.HashDictionary([[Enums.HashAlgorithm['SHA-512'], hex]]);
}

function lockEntry(folder: string): LockEntry {
  const { packages } = readJson('package-lock.json') as { packages: Readonly<Record<string, LockEntry>> };
  return packages[folder] ?? {};
}

export function readManifest(folder: string): Manifest & { readonly license: string } {
  const manifest = readJson(join(folder, 'package.json')) as Manifest;
  if (manifest.license === undefined) throw new Error(`${folder} does not name its licence`);
  return { ...manifest, license: manifest.license };
}

export function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}
