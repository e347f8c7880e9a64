import type { Paths } from '../../support/configuration.ts';
import { readKernelText } from '../files/files.ts';
import { parseMountinfo } from './table.ts';

/** Whether our `/var/lib/rancher` is a mount and not a folder of our own image. */
export async function isRancherFolderMounted({ proc, rancher }: Paths): Promise<boolean> {
  const mounts = parseMountinfo(await readKernelText(`${proc}/self/mountinfo`));
  return mounts.some(({ mountPoint }) => mountPoint !== '/' && `${rancher}/`.startsWith(`${mountPoint}/`));
}
