/** A scene whose agent upgrades to images that its host doesn't have, as a server asks for in practice. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { digestOf, startImageRegistry, type ImageRegistry } from '../images/image-registry.ts';
import { images, startScene, type Scene } from './scene.ts';
import type { StartOptions, TestHost } from '../host/host.ts';

const run = promisify(execFile);
const compress = promisify(gzip);

export interface PullScene {
  readonly scene: Scene;
  readonly registry: ImageRegistry;
  /** Two images that only the registry has; an agent created from one of them has the limits given. */
  readonly images: readonly [string, string];
  close(): Promise<void>;
}

/** @param limits `-e` arguments: an agent, and the workers that it creates, have those of its image */
export async function startPullScene(options: StartOptions, limits: readonly string[]): Promise<PullScene> {
  const scene = await startScene(options);
  const registry = await startImageRegistry(scene.host.gateway);
  const serve = async (tag: string): Promise<string> => serveVariant(scene.host, registry, tag, limits);
  return {
    scene,
    registry,
    images: [await serve('pulled-a'), await serve('pulled-b')],
    close: async () => {
      await registry.pause();
      await scene.close();
    },
  };
}

/** The configuration of an image, as far as it matters here. */
interface ImageConfig {
  config: { Env: string[] };
  rootfs: { diff_ids: string[] };
  history: object[];
}

/**
 * Serves the product's image with one small layer more, and with other limits. The layers below are those that the host
 * has already: its records say that it has pulled them from this registry before.
 */
async function serveVariant(
  host: TestHost,
  registry: ImageRegistry,
  tag: string,
  limits: readonly string[],
): Promise<string> {
  const config = await readImageConfig(host);
  const shared = config.rootfs.diff_ids;
  await markAsPulled(host, shared);
  const top = await makeLayer(tag);
  config.config.Env.push(...limits.filter((argument) => argument !== '-e'));
  config.rootfs.diff_ids = [...shared, digestOf(top)];
  config.history.push({ created: '2026-01-01T00:00:00Z', created_by: 'test' });
  const bytes = await compress(top);
  return registry.serve({
    name: `rancher/agent:${tag}`,
    config: Buffer.from(JSON.stringify(config)),
    layers: [
      ...shared.map((digest) => ({ digest, size: 1 })),
      { digest: digestOf(bytes), size: bytes.length, bytes },
    ],
  });
}

async function readImageConfig(host: TestHost): Promise<ImageConfig> {
  const id = await host.docker('image', 'inspect', '--format', '{{.Id}}', images.b);
  const file = join(host.dockerRoot, 'image/overlay2/imagedb/content', id.replace(':', '/'));
  return JSON.parse(await readFile(file, 'utf8')) as ImageConfig;
}

/**
 * Where the engine looks up whether it has a registry's layer under another digest: here, uncompressed, the same one.
 */
async function markAsPulled({ dockerRoot }: TestHost, layers: readonly string[]): Promise<void> {
  const folder = join(dockerRoot, 'image/overlay2/distribution/diffid-by-digest/sha256');
  await mkdir(folder, { recursive: true });
  for (const digest of layers) await writeFile(join(folder, digest.replace('sha256:', '')), digest);
}

/** A layer of 256 kB that can't be compressed, so that half of it is something. */
async function makeLayer(name: string): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'layer-'));
  try {
    await writeFile(join(folder, name), randomBytes(262_144));
    const { stdout } = await run('tar', ['-C', folder, '-c', name], {
      encoding: 'buffer',
      maxBuffer: 2 ** 20,
    });
    return stdout;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
