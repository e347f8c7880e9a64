import { join } from 'node:path';
import * as v from 'valibot';
import type { Paths } from '../../support/configuration.ts';
import { makeFolder, writeFileAtomically } from './files.ts';
import { readOwnFile } from './safe-folder.ts';

/** Who said to which server the keys of this host belong. `agent`: taken from the agent that was found here. */
export const words = ['registration', 'agent.conf', '--server', 'environment', 'agent'] as const;
export type Word = (typeof words)[number];

/** To which server the keys of this host belong (trust: "Keys and server"). */
export interface KeptServer {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Since when, as ISO 8601. */
  readonly since: string;
  readonly by: Word;
  /**
   * The server before that, which counts as well: while a registration is under way, and as long as a line in `agent.conf` says
   * otherwise, which a person may remove.
   */
  readonly before?: string;
}

/** Damaged: the reason quotes nothing of the file. */
export type ServerReading =
  | { readonly kind: 'kept'; readonly server: KeptServer }
  | { readonly kind: 'missing' }
  | { readonly kind: 'damaged'; readonly reason: string };

const version = 1;

const origin = v.pipe(
  v.string(),
  v.check((text) => /^https?:/.test(text) && URL.parse(text)?.origin === text),
);

const schema = v.object({
  version: v.literal(version),
  origin,
  since: v.pipe(v.string(), v.isoTimestamp()),
  by: v.picklist(words),
  before: v.exactOptional(origin),
});

/** Root's alone: nobody else has to know the server, and nobody else may name another one. */
const mode = 0o600;

export function keptServerFileOf(paths: Paths): string {
  return join(paths.entrypoint, 'server.json');
}

/**
 * @param deadlineMs an agent must not wait long for a disk that does not answer
 * @throws DeadlineError; system errors other than ENOENT as they are
 */
export async function readKeptServer(paths: Paths, deadlineMs: number): Promise<ServerReading> {
  const text = await readOwnFile(keptServerFileOf(paths), { deadlineMs });
  if (text === undefined || text.trim() === '') return { kind: 'missing' };
  try {
    const parsed = v.safeParse(schema, JSON.parse(text));
    if (!parsed.success) return { kind: 'damaged', reason: 'not of the expected form' };
    const { origin, since, by, before } = parsed.output;
    return { kind: 'kept', server: { origin, since, by, ...(before === undefined ? {} : { before }) } };
  } catch {
    return { kind: 'damaged', reason: 'not JSON' };
  }
}

/** @throws HostFolderUnwritableError when nothing can be written there */
export async function writeKeptServer(paths: Paths, server: KeptServer): Promise<void> {
  await makeFolder(paths.entrypoint);
  const text = JSON.stringify({ version, ...server }, undefined, 2);
  await writeFileAtomically(keptServerFileOf(paths), `${text}\n`, { mode });
}
