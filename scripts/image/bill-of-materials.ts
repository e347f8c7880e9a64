/**
 * Says what an image adds to its base: a bill of materials (CycloneDX 1.6, JSON), and the licences of the npm packages
 * in the bundle. Part of scripts/build-image.
 *
 * usage: tsx scripts/image/bill-of-materials.ts --metafile FILE --runtime FILE --created TIME --revision TEXT --sbom FILE --licenses FOLDER
 *   --metafile   what esbuild says went into the bundle
 *   --runtime    the record of scripts/image/assemble-runtime
 *   --created    ISO 8601; no other time is in it, so that the same input gives the same file
 *   --sbom       file to write
 *   --licenses   folder to write one text for each npm package into
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>
  >;
}

interface Runtime {
  readonly arch: string;
  readonly node: string;
  readonly debian: readonly {
    readonly architecture: string;
    readonly package: string;
    readonly version: string;
    readonly sha256: string;
  }[];
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description?: string;
  readonly license?: string;
}

interface Component {
  readonly type: 'library' | 'platform' | 'application';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly [field: string]: unknown;
}

/** Of Debian's packages: what ships, and its licence; the others are there for licence texts only. */
const LIBRARIES: Readonly<Record<string, string>> = {
  libc6: 'LGPL-2.1-or-later',
  'libgcc-s1': 'GPL-3.0-or-later WITH GCC-exception-3.1',
  'libstdc++6': 'GPL-3.0-or-later WITH GCC-exception-3.1',
};
/** In `process.versions`, but no software. */
const NO_SOFTWARE = ['node', 'modules', 'napi', 'unicode', 'tz', 'cldr'];

const { values } = parseArgs({
  options: {
    metafile: { type: 'string' },
    runtime: { type: 'string' },
    created: { type: 'string' },
    revision: { type: 'string' },
    sbom: { type: 'string' },
    licenses: { type: 'string' },
  },
});

const project = readJson('package.json') as Manifest;
const runtime = readJson(required('runtime')) as Runtime;
const folders = bundledPackages(readJson(required('metafile')) as Metafile);
if (runtime.node !== process.versions.node)
  throw new Error(`Node ${process.versions.node} runs here, and ${runtime.node} is in the image`);
await writeLicenses(required('licenses'));
await writeFile(required('sbom'), `${JSON.stringify(composeBill(), undefined, 1)}\n`);

/** Folders of the npm packages of which something is in the bundle, e.g. `node_modules/undici`. */
function bundledPackages(metafile: Metafile): readonly string[] {
  const files = Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0),
  );
  const found = files.map(([file]) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]);
  return [...new Set(found.filter((folder) => folder !== undefined))].sort();
}

function composeBill(): unknown {
  const application = {
    type: 'application',
    'bom-ref': `pkg:generic/${project.name}@${project.version}`,
    name: project.name,
    version: project.version,
    description: project.description,
    licenses: [{ license: { id: project.license } }],
    properties: [
      { name: `${project.name}:revision`, value: required('revision') },
      { name: `${project.name}:architecture`, value: runtime.arch },
    ],
  };
  const components = [...folders.map(describePackage), describeNode(), ...describeLibraries()];
  const body = {
    metadata: { timestamp: required('created'), component: application },
    components,
    dependencies: [
      { ref: application['bom-ref'], dependsOn: components.map((component) => component['bom-ref']).sort() },
    ],
  };
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${uuidOf(JSON.stringify(body))}`,
    version: 1,
    ...body,
  };
}

function describePackage(folder: string): Component {
  const { name, version, license } = readManifest(folder);
  const { packages } = readJson('package-lock.json') as {
    packages: Record<string, { version?: string; integrity?: string; dev?: boolean; devOptional?: boolean }>;
  };
  const locked = packages[folder];
  if (locked?.version !== version)
    throw new Error(`${folder} is ${version}, and not what package-lock.json says`);
  // It would be another bundle where that tool is not installed.
  if (locked.dev === true || locked.devOptional === true)
    throw new Error(`${folder} is in the bundle, and nothing but a tool of development needs it`);
  const [algorithm, checksum = ''] = (locked.integrity ?? '').split('-');
  if (algorithm !== 'sha512') throw new Error(`package-lock.json has no SHA-512 of ${folder}`);
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    hashes: [{ alg: 'SHA-512', content: Buffer.from(checksum, 'base64').toString('hex') }],
    licenses: [{ expression: license }],
    purl,
  };
}

function describeNode(): Component {
  const purl = `pkg:generic/node@${runtime.node}`;
  const parts = Object.entries(process.versions)
    .filter(([name, version]) => !NO_SOFTWARE.includes(name) && version !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    type: 'platform',
    'bom-ref': purl,
    name: 'node',
    version: runtime.node,
    licenses: [{ license: { id: 'MIT' } }],
    cpe: `cpe:2.3:a:nodejs:node.js:${runtime.node}:*:*:*:*:*:*:*`,
    purl,
    components: parts.map(([name, version = '']) => ({
      type: 'library',
      'bom-ref': `${purl}#${name}`,
      name,
      version,
    })),
  };
}

function describeLibraries(): readonly Component[] {
  return runtime.debian
    .filter((it) => it.package in LIBRARIES)
    .map((it) => {
      const version = encodeURIComponent(it.version);
      const purl = `pkg:deb/debian/${encodeURIComponent(it.package)}@${version}?arch=${it.architecture}&distro=debian-12`;
      return {
        type: 'library',
        'bom-ref': purl,
        name: it.package,
        version: it.version,
        hashes: [{ alg: 'SHA-256', content: it.sha256 }],
        licenses: [{ expression: LIBRARIES[it.package] }],
        purl,
      };
    });
}

/** One file for each package: its licence, and its notice if there is one. Some packages only name their licence. */
async function writeLicenses(target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const folder of folders) {
    const { name, version, license } = readManifest(folder);
    const files = readdirSync(folder).filter((file) => /^(licen[sc]e|copying|notice)/i.test(file));
    const texts = files.sort().map((file) => readFileSync(join(folder, file), 'utf8').trim());
    const file = `${name.replace('@', '').replace('/', '__')}-${version}.txt`;
    await writeFile(join(target, file), `${[`${name} ${version}: ${license}`, ...texts].join('\n\n')}\n`);
  }
}

/** A name-based UUID (version 8, RFC 9562) of a text. */
function uuidOf(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  const variant = ((parseInt(hex[16] ?? '0', 16) & 3) | 8).toString(16);
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join('-');
}

function readManifest(folder: string): Manifest & { readonly license: string } {
  const manifest = readJson(join(folder, 'package.json')) as Manifest;
  if (manifest.license === undefined) throw new Error(`${folder} does not name its licence`);
  return { ...manifest, license: manifest.license };
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'));
}

function required(name: keyof typeof values): string {
  const value = values[name];
  if (value === undefined || value === '') throw new Error(`--${name} is missing`);
  return value;
}
