import { parseImageReference } from '../../src/agent/images/reference.ts';
import * as v from 'valibot';
import { Failure } from './failure.ts';
import type { Descriptor } from './layout.ts';
import type { Registry } from './registry.ts';

const digestSchema = v.pipe(v.string(), v.regex(/^sha256:[0-9a-f]{64}$/));
const imageSchema = v.object({ config: v.object({ digest: digestSchema }) });
const configSchema = v.object({
  architecture: v.string(),
  config: v.optional(v.object({ Labels: v.nullish(v.record(v.string(), v.string())) })),
});
const layersSchema = v.object({
  layers: v.array(
    v.object({
      mediaType: v.string(),
      size: v.number(),
      digest: digestSchema,
      annotations: v.exactOptional(v.record(v.string(), v.string())),
    }),
  ),
});

/** An image by its digest. */
export interface ImageName {
  /** Registry and path; `index.docker.io/…` for Docker Hub, as cosign writes it. */
  readonly repository: string;
  readonly digest: string;
}

/** What the image says about itself. */
export interface ImageFacts extends ImageName {
  readonly labels: Readonly<Record<string, string>>;
  readonly architecture: string;
}

/** @throws Failure unless it is NAME@sha256:DIGEST */
export function readImageName(text: string): ImageName {
  const reference = parseImageReference(text);
  if (reference?.digest === undefined)
    throw new Failure(
      64,
      `${text} is no NAME@sha256:DIGEST: a tag may be another image tomorrow (docker push says the digest)`,
    );
  const [host = '', ...path] = reference.path;
  const repository = [host === 'docker.io' ? 'index.docker.io' : host, ...path].join('/');
  return { repository, digest: reference.digest };
}

/** @throws Failure when there is no such image, or it is a list of images */
export async function readImage(registry: Registry, name: ImageName): Promise<ImageFacts> {
  const bytes = await registry.readManifest(name.digest);
  if (bytes === undefined)
    throw new Failure(78, `${name.repository} has no ${name.digest}: push the image first`);
  const manifest = v.safeParse(imageSchema, parse(bytes));
  if (!manifest.success)
    throw new Failure(
      78,
      `${name.digest} is a list of images: sign the image of each architecture by its own digest`,
    );
  const config = v.safeParse(configSchema, parse(await registry.readBlob(manifest.output.config.digest)));
  if (!config.success)
    throw new Failure(78, `${name.digest} is no image: its configuration is not understood`);
  const { architecture, config: settings } = config.output;
  return { ...name, labels: settings?.Labels ?? {}, architecture };
}

/** Layers that are under a tag already. @throws Failure when they are too many to be signatures */
export async function readLayers(registry: Registry, tag: string): Promise<readonly Descriptor[]> {
  const bytes = await registry.readManifest(tag);
  if (bytes === undefined) return [];
  const read = v.safeParse(layersSchema, parse(bytes));
  if (!read.success) throw new Failure(1, `${tag} is no list of signatures`);
  const { layers } = read.output;
  if (layers.length > mostLayers) throw new Failure(1, `${tag} has more than ${mostLayers} signatures`);
  return layers;
}

/** Each is downloaded to be checked. */
const mostLayers = 100;

/** A digest in the form that in-toto has for it. */
export function hexOf(digest: string): string {
  return digest.replace(/^sha256:/, '');
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
