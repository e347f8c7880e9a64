/** The images that the virtual machine gets: two of this project's, with different ids, as the tests have them. */
import { mkdir, rename, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { ensureTemplate } from '../../test/support/images/images.ts';
import { startBareHost } from '../../test/support/host/test-host.ts';

/** The agent's image before the upgrade, and the one that the server requires later. */
export const imageA = 'rancher/agent:test-a';
export const imageB = 'rancher/agent:test-b';

/** Writes both into one archive, unless it is there. @returns its path */
export async function saveImages(folder: string): Promise<string> {
  const template = await ensureTemplate();
  const archive = join(folder, `${basename(template)}.tar`);
  if (await isFile(archive)) return archive;
  await mkdir(folder, { recursive: true });
  const host = await startBareHost({ name: 'vm-images' }, template);
  try {
    const unfinished = `${archive}.${process.pid}`;
    await host.docker('save', '-o', unfinished, imageA, imageB);
    await rename(unfinished, archive);
  } finally {
    await host.stop();
  }
  return archive;
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (facts) => facts.isFile(),
    () => false,
  );
}
