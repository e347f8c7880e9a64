import { readFile } from 'node:fs';
import { promisify } from 'node:util';
import type { Paths } from '../../support/configuration.ts';
import { parseMountinfo } from './table.ts';

/** Whether what we see under `/var/lib/rancher` is a mount and not a folder of our own image. */
export async function isRancherFolderMounted({ proc, rancher }: Paths): Promise<boolean> {
  // Not by `fs/promises`, which takes a millisecond to load: `inspect-host` has asked the engine, and that goes out first.
  const mounts = parseMountinfo(await promisify(readFile)(`${proc}/self/mountinfo`, 'utf8'));
  return mounts.some(({ mountPoint }) => mountPoint !== '/' && `${rancher}/`.startsWith(`${mountPoint}/`));
}
