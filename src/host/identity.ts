import type { Stats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigurationError } from '../support/errors.ts';
import type { Paths } from '../support/configuration.ts';
import { createFileAtomically, makeFolder, writeFileAtomically } from './files/files.ts';
import { readSmallFile } from './files/read.ts';

/** Bytes of a registration key, written as twice as many hex digits (contract §2: `openssl rand -hex 64`). */
export const registrationKeyBytes = 64;

/** The file with the host's registration key. */
export function registrationKeyFileOf(paths: Paths): string {
  return join(paths.state, '.registration_token');
}

/**
 * The registration key of this host: its identity for the server, kept for ever (contract §2). Created if the file is
 * missing or empty; otherwise never replaced, because a new key registers the host a second time. A file that others may
 * read is closed to them.
 * @param randomBytes source of the new key
 * @throws ConfigurationError when the file holds something else than a key; HostFolderUnwritableError when there is none and
 * it cannot be created; system errors (EIO, …) as they are
 */
export async function ensureRegistrationKey(
  paths: Paths,
  randomBytes: (size: number) => Buffer,
): Promise<string> {
  const file = registrationKeyFileOf(paths);
  const existing = parseRegistrationKey(await readSmallFile(file, { onOpen: closeToOthers }), file);
  if (existing !== undefined) return existing;
  const key = makeRegistrationKey(randomBytes);
  await makeFolder(paths.state);
  // Created only if no other process did so meanwhile; an empty file must be replaced.
  if (!(await createFileAtomically(file, `${key}\n`, { mode: 0o600 })) && (await isEmpty(file))) {
    await writeFileAtomically(file, `${key}\n`, { mode: 0o600 });
  }
  return parseRegistrationKey(await readSmallFile(file), file) ?? key;
}

/**
 * The existing key.
 * @returns undefined if there is none
 * @throws ConfigurationError when the file holds something else than a key; system errors as they are
 */
export async function readRegistrationKey(paths: Paths): Promise<string | undefined> {
  const file = registrationKeyFileOf(paths);
  return parseRegistrationKey(await readSmallFile(file), file);
}

/** A new random key. */
export function makeRegistrationKey(randomBytes: (size: number) => Buffer): string {
  return randomBytes(registrationKeyBytes).toString('hex');
}

/** @throws ConfigurationError when the text is neither blank nor hex digits */
export function parseRegistrationKey(text: string | undefined, file: string): string | undefined {
  const key = text?.trim() ?? '';
  if (key === '') return undefined;
  if (/^[0-9a-fA-F]+$/.test(key)) return key;
  throw new ConfigurationError(`${file} holds no host key: expected hex digits only`, {
    hint:
      'this file is the identity of the host, so it is not replaced: restore it from a backup; or, to register this ' +
      'machine as a new host, remove the file and remove the old host on the server',
  });
}

/** The legacy entrypoint created it with mode 0644, and with it anybody could ask the server for the agent's keys. */
async function closeToOthers(file: FileHandle, { mode }: Stats): Promise<void> {
  // Where the file system refuses that, the key counts all the same.
  if ((mode & 0o077) !== 0) await file.chmod(0o600).catch(() => undefined);
}

async function isEmpty(file: string): Promise<boolean> {
  return ((await readSmallFile(file)) ?? '').trim() === '';
}
