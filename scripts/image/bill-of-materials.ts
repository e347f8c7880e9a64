/**
 * Says what an image adds to its base: a bill of materials (CycloneDX 1.6, JSON), and the licences of the npm packages
 * in the bundle. Part of scripts/build-image and scripts/advisories/check.
 *
 * usage: node scripts/image/bill-of-materials.ts --arch NAME --metafile FILE --created TIME --revision TEXT --sbom FILE [options]
 *   --arch       as Debian calls it: amd64 or arm64
 *   --metafile   what esbuild says went into the bundle
 *   --created    ISO 8601; no other time is in it, so that the same input gives the same file
 *   --sbom       file to write
 *   --runtime    the record of scripts/image/assemble-runtime (default: what the lock files say)
 *   --root       the files that ship, which are listed with their checksums
 *   --compared   what scripts/image/compare-node recorded (default: image/node.compared)
 *   --licenses   folder to write one text for each npm package into
 *   --base NAME --base-id ID --base-files FOLDER   also the packages of the base: `status` of its dpkg, and `os-release`
 */
import { Enums, Models, Serialize, Spec } from '@cyclonedx/cyclonedx-library';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { describeBase } from './base-packages.ts';
import {
  addFiles,
  describeLibraries,
  describeNode,
  describePackage,
  licensed,
  property,
  readJson,
  readManifest,
} from './components.ts';
import { lockedRuntime, type Runtime } from './runtime-record.ts';

interface Metafile {
  readonly outputs: Readonly<
    Record<string, { readonly inputs: Readonly<Record<string, { readonly bytesInOutput: number }>> }>
  >;
}

const { values } = parseArgs({
  options: {
    arch: { type: 'string' },
    metafile: { type: 'string' },
    created: { type: 'string' },
    revision: { type: 'string' },
    sbom: { type: 'string' },
    runtime: { type: 'string' },
    root: { type: 'string' },
    compared: { type: 'string', default: 'image/node.compared' },
    licenses: { type: 'string' },
    base: { type: 'string' },
    'base-id': { type: 'string' },
    'base-files': { type: 'string' },
  },
});

const arch = required('arch');
const runtime = values.runtime === undefined ? lockedRuntime(arch) : (readJson(values.runtime) as Runtime);
const folders = bundledPackages(readJson(required('metafile')) as Metafile);
if (values.licenses !== undefined) await writeLicenses(values.licenses);
await writeFile(required('sbom'), serialize(composeBill()));

/** Folders of the npm packages of which something is in the bundle, e.g. `node_modules/undici`. */
function bundledPackages(metafile: Metafile): readonly string[] {
  const files = Object.values(metafile.outputs).flatMap(({ inputs }) =>
    Object.entries(inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0),
  );
  // Packages may be in packages. What is before the first folder of that name counts for nothing: it may be a link.
  const folder = /(?:^|\/)(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)/;
  const found = files.map(([file]) => folder.exec(file)?.[1]);
  return [...new Set(found.filter((folder) => folder !== undefined))].sort();
}

function composeBill(): Models.Bom {
  const application = describeProject();
  const components = [
    ...folders.map(describePackage),
    describeNode(runtime, values.compared),
    ...describeLibraries(runtime),
  ];
  if (values.root !== undefined) addFiles(values.root, application, components);
  if (values['base-files'] !== undefined)
    components.push(describeBase(required('base'), required('base-id'), values['base-files']));
  for (const { bomRef } of components) application.dependencies.add(bomRef);
  return new Models.Bom({
    metadata: new Models.Metadata({ timestamp: new Date(required('created')), component: application }),
    components: new Models.ComponentRepository(components),
  });
}

function describeProject(): Models.Component {
  const project = readManifest('.');
  const reference = `pkg:generic/${project.name}@${project.version}`;
  return new Models.Component(Enums.ComponentType.Application, project.name, {
    bomRef: reference,
    version: project.version,
    ...(project.description === undefined ? {} : { description: project.description }),
    licenses: licensed(project.license),
    purl: reference,
    properties: new Models.PropertyRepository([
      property('revision', required('revision')),
      property('architecture', arch),
    ]),
  });
}

/** With a number that says what is in it: the same contents, the same number. */
function serialize(bill: Models.Bom): string {
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  const write = (): string => `${serializer.serialize(bill, { sortLists: true, space: 1 })}\n`;
  bill.serialNumber = `urn:uuid:${uuidOf(write())}`;
  return write();
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

function required(name: keyof typeof values): string {
  const value = values[name];
  if (value === undefined || value === '') throw new Error(`--${name} is missing`);
  return value;
}
