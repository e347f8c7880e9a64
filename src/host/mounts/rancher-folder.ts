import type { Paths } from '../../support/configuration.ts';
import { selectMounts } from './table.ts';

/** Whether our `/var/lib/rancher` is a mount and not a folder of our own image. */
export async function isRancherFolderMounted({ proc, rancher }: Paths): Promise<boolean> {
  const { mounts } = await selectMounts(
    `${proc}/self/mountinfo`,
    ({ mountPoint }) => mountPoint !== '/' && `${rancher}/`.startsWith(`${mountPoint}/`),
  );
  return mounts.length > 0;
}
