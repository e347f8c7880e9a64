/**
 * Makes a freshly built image reproducible: what an engine adds by itself (times, its own way of writing a layer, its
 * version, the container it built in) is taken out again. Part of scripts/build-image.
 *
 * usage: tsx scripts/image/seal-image.ts --archive FOLDER --base ID --built ID --layer FILE --tag NAME --created TIME --by TEXT
 *   --archive  what `docker save` of both images wrote, unpacked; becomes what `docker load` takes
 *   --base     id of the base image
 *   --built    id of the image that was built from it, with exactly one layer more
 *   --layer    tar that takes the place of that layer, byte for byte
 *   --tag      name of the sealed image
 *   --created  ISO 8601; when the image, by its source, was made
 *   --by       what the image's history says of the layer
 *
 * Prints the id of the sealed image: the digest of its configuration, which names every layer by its digest.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';

/** One image in an archive of `docker save`: paths below the archive's folder. */
interface ArchivedImage {
  readonly Config: string;
  readonly Layers: readonly string[];
}

/** The parts of an image's configuration that say what it is; the engine's additions are no part of the type. */
interface ImageConfig {
  readonly architecture: string;
  readonly os: string;
  readonly variant?: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly history?: readonly unknown[];
  readonly rootfs: { readonly type: 'layers'; readonly diff_ids: readonly string[] };
}

/** What a container gets from its image. The rest (Hostname, Image, …) is left from the builder's own container. */
const RUN_FIELDS = [
  ...['User', 'ExposedPorts', 'Env', 'Entrypoint', 'Cmd', 'Volumes', 'WorkingDir', 'Labels', 'StopSignal'],
  ...['StopTimeout', 'Healthcheck', 'Shell', 'OnBuild', 'ArgsEscaped'],
];

const { values } = parseArgs({
  options: {
    archive: { type: 'string' },
    base: { type: 'string' },
    built: { type: 'string' },
    layer: { type: 'string' },
    tag: { type: 'string' },
    created: { type: 'string' },
    by: { type: 'string' },
  },
});
const archive = required('archive');
const images = JSON.parse(await readFile(join(archive, 'manifest.json'), 'utf8')) as ArchivedImage[];
const base = findImage(required('base'));
const built = findImage(required('built'));
const layer = required('layer');
const digest = await sha256(layer);
const config = Buffer.from(
  JSON.stringify(sealConfig(await readConfig(built), await readConfig(base), `sha256:${digest}`)),
);
const id = createHash('sha256').update(config).digest('hex');
await writeArchive();
console.log(`sha256:${id}`);

function sealConfig(from: ImageConfig, baseConfig: ImageConfig, layerId: string): ImageConfig {
  const below = baseConfig.rootfs.diff_ids;
  const layers = from.rootfs.diff_ids;
  if (layers.length !== below.length + 1 || below.some((it, index) => it !== layers[index]))
    throw new Error(`the built image is not its base and one layer: ${layers.join(' ')}`);
  const created = new Date(required('created')).toISOString();
  return sortKeys({
    // Not what the builder thinks of it: it may be of another architecture itself.
    architecture: baseConfig.architecture,
    os: baseConfig.os,
    ...(baseConfig.variant === undefined || baseConfig.variant === '' ? {} : { variant: baseConfig.variant }),
    created,
    config: Object.fromEntries(Object.entries(from.config).filter(isPartOfImage)),
    history: [...(baseConfig.history ?? []), { created, created_by: required('by') }],
    rootfs: { type: 'layers', diff_ids: [...below, layerId] },
  });
}

/** Engines of different ages write "nothing" in different ways. */
function isPartOfImage([name, value]: readonly [string, unknown]): boolean {
  if (!RUN_FIELDS.includes(name)) return false;
  if (value === undefined || value === null || value === '' || value === false) return false;
  return typeof value !== 'object' || Object.keys(value).length > 0;
}

/** The archive in the form that every engine reads; a newer one would prefer its own index. */
async function writeArchive(): Promise<void> {
  const layers = [...base.Layers, `${digest}.tar`];
  const kept = new Set([...layers, `${id}.json`, 'manifest.json'].map((path) => path.split('/')[0]));
  for (const name of await readdir(archive))
    if (!kept.has(name)) await rm(join(archive, name), { recursive: true });
  await rename(layer, join(archive, `${digest}.tar`));
  await writeFile(join(archive, `${id}.json`), config);
  const manifest = [{ Config: `${id}.json`, RepoTags: [fullTag(required('tag'))], Layers: layers }];
  await writeFile(join(archive, 'manifest.json'), JSON.stringify(manifest));
}

/** As the client completes a name: `latest` unless there is a tag behind the last slash. */
function fullTag(tag: string): string {
  return /:[^/]*$/.test(tag) ? tag : `${tag}:latest`;
}

function findImage(imageId: string): ArchivedImage {
  const hex = imageId.replace(/^sha256:/, '');
  const found = images.find((image) => image.Config.includes(hex));
  if (!found) throw new Error(`the archive has no image ${imageId}`);
  return found;
}

async function readConfig(image: ArchivedImage): Promise<ImageConfig> {
  return JSON.parse(await readFile(join(archive, image.Config), 'utf8')) as ImageConfig;
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** Keys in one order, whoever wrote them. */
function sortKeys<T>(value: T): T {
  if (Array.isArray(value)) return value.map(sortKeys) as T;
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, it]) => [key, sortKeys(it as unknown)])) as T;
}

function required(name: keyof typeof values): string {
  const value = values[name];
  if (value === undefined || value === '') throw new Error(`--${name} is missing`);
  return value;
}
