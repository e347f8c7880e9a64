import { readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCodeOf } from '../../support/errors.ts';

/** As in the kernel: more links than this in one path are a loop. */
const mostLinks = 40;

/**
 * Where a path of another root (`/proc/1/root`) is in our root. A plain join is not enough: an absolute link in the path,
 * such as `/var/run -> /run` or a moved Docker root, would lead into our own root.
 * @param root the other root, e.g. `/proc/1/root`
 * @param path absolute path inside it; what does not exist is taken as it stands
 * @throws Error on a loop of links; system errors other than ENOENT, EINVAL and ENOTDIR as they are
 */
export async function resolveInRoot(root: string, path: string): Promise<string> {
  const ahead = path.split('/');
  const done: string[] = [];
  let links = 0;
  while (ahead.length > 0) {
    const part = ahead.shift();
    if (part === undefined || part === '' || part === '.') continue;
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = await readLinkIfLink(join(root, ...done, part));
    if (target === undefined) {
      done.push(part);
      continue;
    }
    if (++links > mostLinks) throw new Error(`too many symbolic links in ${path}`);
    if (target.startsWith('/')) done.length = 0;
    ahead.unshift(...target.split('/'));
  }
  return join(root, ...done);
}

async function readLinkIfLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'EINVAL' || code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}
