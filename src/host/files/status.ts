import { link } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { messageOf, systemCodeOf } from '../../support/errors.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import { printable, shorten } from '../../support/printable.ts';
import type { Paths } from '../../support/configuration.ts';
import { makeFolder, writeFileAtomically } from './files.ts';
import { describeMismatch, parseJsonText } from './json.ts';
import { readOwnFile } from './safe-folder.ts';
import { servingSummarySchema, type ServingSummary } from './serving-record.ts';

/*
 * The status file: the result of the last work on this host, or the progress of the present one, for a person, for the
 * health check and for `status`. It only explains; no decision depends on it (docs/architecture.md, invariant 3).
 */

const version = 2;

/** The states of a host; the README lists them with what to do. */
export const hostStates = ['ok', 'working', 'deferred', 'degraded', 'failed'] as const;
export type HostState = (typeof hostStates)[number];

const time = v.pipe(v.string(), v.isoTimestamp());

const holderSchema = v.object({
  pid: v.number(),
  command: v.string(),
  processes: v.number(),
  /** None: a process of the host itself. */
  container: v.exactOptional(v.string()),
  mountPoint: v.string(),
});

/** Who asked for an upgrade: a person, the server, or automation (a script, configuration management). */
export const askers = ['person', 'server', 'automation'] as const;
export type Asker = (typeof askers)[number];

const statusSchema = v.object({
  version: v.literal(version),
  state: v.picklist(hostStates),
  /** One sentence for a person. */
  summary: v.string(),
  /** Stable code of the cause, e.g. `engine-unavailable`. */
  cause: v.exactOptional(v.string()),
  /** The message of the engine or the server. */
  originalMessage: v.exactOptional(v.string()),
  /** What the person should do. */
  hint: v.exactOptional(v.string()),
  /** What this program will do next. */
  next: v.exactOptional(v.string()),
  /** When this state began. */
  since: time,
  updatedAt: time,
  /** When the state was last `ok`. */
  lastSuccessAt: v.exactOptional(time),
  command: v.string(),
  phase: v.exactOptional(v.string()),
  /** The required image. */
  target: v.exactOptional(v.string()),
  /** Containers that cannot be removed, with the engine's message. */
  unremovable: v.exactOptional(
    v.array(
      v.object({
        name: v.string(),
        id: v.string(),
        originalMessage: v.string(),
        /** Processes that hold its mounts. */
        holders: v.exactOptional(v.array(holderSchema)),
      }),
    ),
  ),
  /** The last log lines of an agent that exited and was then removed. */
  lastLog: v.exactOptional(v.array(v.string())),
  nextAttemptAt: v.exactOptional(time),
  exitCode: v.exactOptional(v.number()),
  entrypointVersion: v.string(),
  container: v.exactOptional(v.string()),
  /** How long this state lasts: `serving`: until the agent serves. Left out: until its work succeeds. */
  until: v.exactOptional(v.literal('serving')),
  /** Left out while a worker runs, and by agents that do not report it. */
  serving: v.exactOptional(servingSummarySchema),
  /** Who asked for the last upgrade. */
  askedBy: v.exactOptional(v.picklist(askers)),
});

export type HostStatus = Readonly<v.InferOutput<typeof statusSchema>>;

/** What a writer provides; the rest follows from the present file. */
export type StatusDraft = Omit<HostStatus, 'version' | 'since' | 'updatedAt' | 'lastSuccessAt'>;

export type StatusReading =
  | { readonly kind: 'valid'; readonly status: HostStatus }
  | { readonly kind: 'missing' }
  | { readonly kind: 'damaged'; readonly reason: string };

export interface StatusWriting {
  readonly paths: Paths;
  /** Milliseconds since 1970. */
  readonly now: number;
  /** Masks secrets; every text passes through it. */
  readonly scrub: (text: string) => string;
}

export function statusFileOf(paths: Paths): string {
  return join(paths.entrypoint, 'status.json');
}

/** A file with nothing but the word of the state: for health checks without Node. */
export function stateFileOf(paths: Paths): string {
  return join(paths.entrypoint, 'state');
}

/**
 * Writes the status and the word of the state. A damaged file found there is kept once as `status.json.damaged`.
 * @returns what was written
 * @throws HostFolderUnwritableError when nothing can be written there
 */
export async function writeStatus(writing: StatusWriting, draft: StatusDraft): Promise<HostStatus> {
  const { paths, now, scrub } = writing;
  await makeFolder(paths.entrypoint);
  const before = await readStatus(paths);
  if (before.kind === 'damaged') await keepDamaged(statusFileOf(paths));
  const status = scrubStatus(succeed(before, draft, now), scrub);
  try {
    await writeFileAtomically(statusFileOf(paths), `${JSON.stringify(status, undefined, 2)}\n`, {
      mode: 0o644,
    });
  } finally {
    // Health checks read this word alone: a folder in the place of the other file must not leave an old word there.
    await writeFileAtomically(stateFileOf(paths), `${status.state}\n`, { mode: 0o644 });
  }
  return status;
}

/**
 * Records in the status file whether the agent serves, and changes nothing else in it. While a worker runs, it writes the
 * file often, and an older text must not replace a newer one: then, and if there is no status, nothing is written.
 * @throws HostFolderUnwritableError when nothing can be written there
 */
export async function writeServing({ paths, scrub }: StatusWriting, serving: ServingSummary): Promise<void> {
  const before = await readStatus(paths);
  if (before.kind !== 'valid' || before.status.state === 'working') return;
  const status = scrubStatus({ ...before.status, serving }, scrub);
  await writeFileAtomically(statusFileOf(paths), `${JSON.stringify(status, undefined, 2)}\n`, {
    mode: 0o644,
  });
}

/** Reads the status. Never throws: what cannot be read or understood is `damaged`, with the reason. */
export async function readStatus(paths: Paths): Promise<StatusReading> {
  let text: string | undefined;
  try {
    text = await readOwnFile(statusFileOf(paths));
  } catch (error) {
    return { kind: 'damaged', reason: messageOf(error) };
  }
  return text === undefined ? { kind: 'missing' } : parseStatus(text);
}

/** Understands the text of a status file. */
export function parseStatus(text: string): Exclude<StatusReading, { kind: 'missing' }> {
  let json: unknown;
  try {
    json = parseJsonText(text);
  } catch (error) {
    return { kind: 'damaged', reason: messageOf(error) };
  }
  const newer = v.safeParse(v.object({ version: v.pipe(v.number(), v.gtValue(version)) }), json);
  if (newer.success) {
    return {
      kind: 'damaged',
      reason: `written by a newer entrypoint (version ${newer.output.version}, known is ${version})`,
    };
  }
  const parsed = v.safeParse(statusSchema, fromVersion1(json));
  if (parsed.success) return { kind: 'valid', status: parsed.output };
  return { kind: 'damaged', reason: describeMismatch(parsed.issues[0], 'status') };
}

const version1Schema = v.looseObject({
  version: v.literal(1),
  command: v.optional(v.string()),
  cause: v.optional(v.string()),
  said: v.optional(v.string()),
  corpses: v.optional(v.array(v.looseObject({ said: v.optional(v.string()) }))),
});

/** Causes that version 0.1 wrote under another name. */
const renamedCauses: Readonly<Record<string, string>> = {
  'ping-pong': 'flapping-requirement',
  'storage-silent': 'disk-unresponsive',
};

/** A status of version 0.1, with the present names; any other status unchanged. */
function fromVersion1(json: unknown): unknown {
  const parsed = v.safeParse(version1Schema, json);
  if (!parsed.success) return json;
  const { said, corpses, command, cause, ...rest } = parsed.output;
  return {
    ...rest,
    version,
    ...(command === undefined ? {} : { command: command === 'settle' ? 'reconcile' : command }),
    ...(cause === undefined ? {} : { cause: renamedCauses[cause] ?? cause }),
    ...(said === undefined ? {} : { originalMessage: said }),
    ...(corpses === undefined
      ? {}
      : {
          unremovable: corpses.map(({ said: why, ...container }) => ({ ...container, originalMessage: why })),
        }),
  };
}

/** The status after the present one: `since` stays while the state does. */
export function succeed(before: StatusReading, draft: StatusDraft, now: number): HostStatus {
  const updatedAt = new Date(now).toISOString();
  const same = before.kind === 'valid' && before.status.state === draft.state;
  const lastSuccessAt = draft.state === 'ok' ? updatedAt : lastSuccessOf(before);
  const asker = askerOf(before, draft);
  return {
    version,
    ...draft,
    ...(asker === undefined ? {} : { askedBy: asker }),
    since: same ? before.status.since : updatedAt,
    updatedAt,
    ...(lastSuccessAt === undefined ? {} : { lastSuccessAt }),
  };
}

/** A later report of the agent about itself keeps who asked for the last upgrade. */
function askerOf(before: StatusReading, draft: StatusDraft): Asker | undefined {
  if (draft.askedBy !== undefined || before.kind !== 'valid') return draft.askedBy;
  return draft.command === 'run' || draft.command === 'reconcile' ? before.status.askedBy : undefined;
}

function lastSuccessOf(before: StatusReading): string | undefined {
  if (before.kind !== 'valid') return undefined;
  // A status of a version that did not record it.
  return before.status.lastSuccessAt ?? (before.status.state === 'ok' ? before.status.updatedAt : undefined);
}

function scrubStatus(status: HostStatus, scrub: (text: string) => string): HostStatus {
  const clean: unknown = JSON.parse(JSON.stringify(status), (_key, value: unknown) =>
    // Masked before it is cut: half a secret is not found.
    typeof value === 'string' ? printable(shorten(scrub(value), fixedLimits.FOREIGN_TEXT)) : value,
  );
  return { ...(clean as HostStatus), state: status.state, since: status.since, updatedAt: status.updatedAt };
}

/** Only the first damaged file is kept, because it shows the fault best; later ones do not replace it. */
async function keepDamaged(path: string): Promise<void> {
  try {
    await link(path, `${path}.damaged`);
  } catch (error) {
    // Kept already, gone meanwhile, or a file system without links: the status itself matters more.
    if (systemCodeOf(error) === undefined) throw error;
  }
}
