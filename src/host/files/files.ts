import { link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { systemCodeOf } from '../../support/errors.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import { explainWriteError } from '../errors.ts';

import { requireSafeFolder } from './safe-folder.ts';

export interface FileOwnership {
  /** Permission bits, e.g. `0o644`; exactly these, independent of the umask. */
  readonly mode: number;
  /** Left out: our own. */
  readonly uid?: number;
  readonly gid?: number;
}

export interface WriteOptions extends FileOwnership {
  /** False for a file that has no use after a power cut: then this does not wait for the disk. */
  readonly sync?: boolean;
}

/**
 * Replaces a file so that a reader sees the old text or the new one, never a part, even after a power cut.
 * @throws HostFolderUnwritableError when nothing can be written there; other system errors as they are
 */
export async function writeFileAtomically(path: string, text: string, options: WriteOptions): Promise<void> {
  await viaTemporaryFile(path, text, options, async (temporary) => {
    await rename(temporary, path);
  });
}

/**
 * Creates a file with its whole text, unless it already exists.
 * @returns whether this call created it
 * @throws HostFolderUnwritableError when nothing can be written there; other system errors as they are
 */
export async function createFileAtomically(
  path: string,
  text: string,
  options: WriteOptions,
): Promise<boolean> {
  let created = false;
  await viaTemporaryFile(path, text, options, async (temporary) => {
    created = await linkOrRename(temporary, path);
    if (!created) await rm(temporary, { force: true });
  });
  return created;
}

/**
 * Creates a folder and its parents, in which only root writes.
 * @throws HostFolderUnwritableError when it cannot be created because nothing can be written there; HostFolderUnsafeError
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeFolders(path);
    await requireSafeFolder(path);
  } catch (error) {
    throw explainWriteError(path, error);
  }
}

/**
 * As `mkdir -p`, with the system's own error. Not Node's recursive mkdir: version 24.21 reports ENOENT for a read-only file
 * system, and if the system itself reports ENOENT (`/proc`), it never returns.
 */
export async function makeFolders(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; !(await isFolder(at)); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) {
    try {
      await mkdir(folder, { mode: 0o755 });
    } catch (error) {
      if (systemCodeOf(error) !== 'EEXIST') throw error;
    }
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (systemCodeOf(error) !== 'ENOENT') throw error;
    return false;
  }
  throw Object.assign(new Error(`not a folder: ${path}`), { code: 'ENOTDIR' });
}

async function viaTemporaryFile(
  path: string,
  text: string,
  options: WriteOptions,
  putInPlace: (temporary: string) => Promise<void>,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const temporary = join(dirname(path), `.${basename(path)}.${randomHex(6)}.tmp`);
    try {
      await writeTemporary(temporary, text, options);
      await putInPlace(temporary);
      if (options.sync !== false) await syncFolder(dirname(path));
      break;
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      if (!wasTakenAway(error) || tries >= fixedLimits.TEMP_FILE_TRIES) throw explainWriteError(path, error);
    }
  }
  await sweepTemporaryFiles(path).catch(() => undefined);
}

/** A process that got the host's lock removed this temporary file as that of a dead writer: see `removeTemporaryFiles`. */
function wasTakenAway(error: unknown): boolean {
  const isPutting =
    error instanceof Error && 'syscall' in error && ['rename', 'link'].includes(String(error.syscall));
  return isPutting && systemCodeOf(error) === 'ENOENT';
}

/** Nobody else can read it before its owner and mode are what they shall be. */
async function writeTemporary(
  path: string,
  text: string,
  { mode, uid, gid, sync = true }: WriteOptions,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    if (uid !== undefined && gid !== undefined) await file.chown(uid, gid);
    await file.chmod(mode);
    await file.writeFile(text);
    if (sync) await file.sync();
  } finally {
    await file.close();
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** A hard link fails if the name is taken, a rename does not. File systems without links (vboxsf) get the rename. */
async function linkOrRename(temporary: string, path: string): Promise<boolean> {
  try {
    await link(temporary, path);
  } catch (error) {
    const code = systemCodeOf(error);
    if (code === 'EEXIST') return false;
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error;
    await rename(temporary, path);
    return true;
  }
  await rm(temporary, { force: true });
  return true;
}

/**
 * Removes every temporary file in a folder, however young it is. Only the holder of the host's lock may do this: workers
 * write while they hold it, so the files of other workers are those of dead writers. An active agent writes its state
 * without the lock; if a write loses its file in this way, the agent repeats it.
 */
export async function removeTemporaryFiles(folder: string): Promise<void> {
  const leftovers = (await readdir(folder)).filter((name) => temporaryName.test(name));
  for (const name of leftovers) await rm(join(folder, name), { force: true });
}

const temporaryName = /^\..+\.[0-9a-f]{12}\.tmp$/;

/** A writer that is killed leaves its temporary file. If writers are killed for hours, they must not leave thousands. */
async function sweepTemporaryFiles(path: string): Promise<void> {
  const prefix = `.${basename(path)}.`;
  const names = await readdir(dirname(path));
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith('.tmp')) continue;
    const leftover = join(dirname(path), name);
    const { mtimeMs } = await stat(leftover);
    if (Math.abs(Date.now() - mtimeMs) > fixedLimits.TEMP_FILE_AGE) await rm(leftover, { force: true });
  }
}

/** The global of the same name: the module `crypto` takes 4 ms to load. */
function randomHex(bytes: number): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(bytes))).toString('hex');
}
