import { join } from 'node:path';
import * as v from 'valibot';
import type { Paths } from '../../support/configuration.ts';
import { makeFolder, writeFileAtomically } from './files.ts';
import { readOwnFile } from './safe-folder.ts';

/**
 * The last error that was reported to the server: kept on the host, so that an agent that restarts does not repeat
 * it.
 */
export interface Reported {
  /** Empty if the host has been healthy since. */
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

const schema = v.object({ text: v.string(), at: v.number() });

/** Undefined if nothing was reported yet, or the file cannot be understood. Never throws. */
export async function readReported(paths: Paths): Promise<Reported | undefined> {
  try {
    const parsed = v.safeParse(schema, JSON.parse((await readOwnFile(fileOf(paths))) ?? 'null'));
    return parsed.success ? parsed.output : undefined;
  } catch {
    return undefined;
  }
}

/** @throws HostFolderUnwritableError when nothing can be written there */
export async function writeReported(paths: Paths, reported: Reported): Promise<void> {
  await makeFolder(paths.entrypoint);
  await writeFileAtomically(fileOf(paths), `${JSON.stringify(reported)}\n`, { mode: 0o644 });
}

function fileOf(paths: Paths): string {
  return join(paths.entrypoint, 'reported.json');
}
