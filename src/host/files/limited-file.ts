import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { systemCodeOf } from '../../support/errors.ts';

/**
 * The text of a small file. A pipe, a link or a file without an end in its place keeps nobody waiting.
 * @param limit bytes
 * @returns undefined if there is none
 * @throws Error when it is larger; system errors other than ENOENT as they are (ELOOP for a link)
 */
export async function readLimitedText(path: string, limit: number): Promise<string | undefined> {
  let file;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const buffer = Buffer.alloc(limit + 1);
    const { bytesRead } = await file.read(buffer, 0, buffer.length, 0);
    if (bytesRead > limit) throw new Error(`larger than ${limit} bytes`);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}
