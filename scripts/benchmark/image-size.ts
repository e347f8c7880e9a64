/** What the image adds to its base: on the disk, and compressed as a registry keeps it. */
import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createGzip } from 'node:zlib';
import { images, type Scene } from '../../test/support/scenes/scene.ts';
import { imagesOf, runTool } from './bench-scene.ts';
import { figureOf, type Figure } from './figure.ts';

const subject = 'image over its base';

export async function measureImageSize({ host }: Scene): Promise<readonly Figure[]> {
  const [image] = imagesOf.ours;
  const inspect = async (reference: string, what: string): Promise<string> =>
    host.docker('image', 'inspect', '--format', `{{${what}}}`, reference);
  const raw = Number(await inspect(image, '.Size')) - Number(await inspect(images.base, '.Size'));
  const inherited = Number(await inspect(images.base, 'len .RootFS.Layers'));
  const folder = await mkdtemp(join(tmpdir(), 'bench-image-'));
  try {
    const archive = join(folder, 'image.tar');
    await host.docker('save', '--output', archive, image);
    await runTool('tar', '-C', folder, '-xf', archive);
    const compressed = await compressLayers(folder, inherited);
    return [
      figureOf(subject, 'compressed', 'MB', { ours: [compressed / 1e6] }, { kind: 'at-most', value: 60 }),
      figureOf(subject, 'on the disk', 'MB', { ours: [raw / 1e6] }),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** @returns the bytes of the layers above the base's, each compressed as `docker push` does it */
async function compressLayers(folder: string, inherited: number): Promise<number> {
  const manifest = JSON.parse(await readFile(join(folder, 'manifest.json'), 'utf8')) as [
    { Layers: string[] },
  ];
  let bytes = 0;
  for (const layer of manifest[0].Layers.slice(inherited)) {
    for await (const chunk of createReadStream(join(folder, layer)).pipe(createGzip())) {
      bytes += (chunk as Buffer).length;
    }
  }
  return bytes;
}
