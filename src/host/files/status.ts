import { link } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { messageOf, systemCodeOf } from '../../support/errors.ts';
import type { Paths } from '../../support/configuration.ts';
import { makeFolder, readTextIfExists, writeFileAtomically } from './files.ts';

/*
 * The status file: how the last, or the present, piece of work on this host stands, for a person, for the health check
 * and for `status`. It explains; nothing is ever decided from it (docs/architecture.md, invariant 3).
 */

const version = 2;

/** What a host can be in; the README lists them with what to do. */
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

/** Whether the active agent serves, as it last said so (`serving.json` has it up to date). */
const servingSchema = v.object({
  serving: v.picklist(['yes', 'no', 'unknown']),
  since: time,
  updatedAt: time,
  /** Origin of the server. */
  server: v.string(),
  /** Full id of the agent's container; empty where it does not know itself. */
  container: v.string(),
  lastAnswerAt: v.exactOptional(time),
  cause: v.exactOptional(v.string()),
  message: v.exactOptional(v.string()),
  bootstrap: v.object({
    failuresInARow: v.number(),
    runningSince: v.exactOptional(time),
    lastExit: v.exactOptional(
      v.object({
        at: time,
        status: v.nullable(v.number()),
        signal: v.nullable(v.string()),
        ms: v.number(),
        byDesign: v.boolean(),
      }),
    ),
  }),
});

export type ServingSummary = Readonly<v.InferOutput<typeof servingSchema>>;

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
  /** The engine's or server's own words. */
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
  /** The image that is wanted. */
  target: v.exactOptional(v.string()),
  /** Containers that cannot be removed, with what the engine said. */
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
  /** The last log lines of an agent that did not stay up and was removed since. */
  lastLog: v.exactOptional(v.array(v.string())),
  nextAttemptAt: v.exactOptional(time),
  exitCode: v.exactOptional(v.number()),
  entrypointVersion: v.string(),
  container: v.exactOptional(v.string()),
  /** What ends this state: it goes away when the agent serves. Left out: its work must succeed. */
  until: v.exactOptional(v.literal('serving')),
  /** Left out while a worker is at work, and by agents that do not say it. */
  serving: v.exactOptional(servingSchema),
  /** Who asked for the last upgrade. */
  askedBy: v.exactOptional(v.picklist(askers)),
});

export type HostStatus = Readonly<v.InferOutput<typeof statusSchema>>;

/** What a writer says; the rest follows from the file that is there. */
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
  await writeFileAtomically(statusFileOf(paths), `${JSON.stringify(status, undefined, 2)}\n`, {
    mode: 0o644,
  });
  await writeFileAtomically(stateFileOf(paths), `${status.state}\n`, { mode: 0o644 });
  return status;
}

/**
 * Says in the status file whether the agent serves, and changes nothing else in it. A worker at work writes it
 * often, and its
 * words must not be replaced by earlier ones: then, and where there is no status, nothing is written.
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
    text = await readTextIfExists(statusFileOf(paths));
  } catch (error) {
    return { kind: 'damaged', reason: messageOf(error) };
  }
  return text === undefined ? { kind: 'missing' } : parseStatus(text);
}

/** Understands the text of a status file. */
export function parseStatus(text: string): Exclude<StatusReading, { kind: 'missing' }> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { kind: 'damaged', reason: `not JSON: ${messageOf(error)}` };
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
  const [issue] = parsed.issues;
  return { kind: 'damaged', reason: `${v.getDotPath(issue) ?? 'status'}: ${issue.message}` };
}

const version1Schema = v.looseObject({
  version: v.literal(1),
  command: v.optional(v.string()),
  originalMessage: v.optional(v.string()),
  unremovable: v.optional(v.array(v.looseObject({ originalMessage: v.optional(v.string()) }))),
});

/** A status that version 0.1 wrote, under the names of today; anything else as it is. */
function fromVersion1(json: unknown): unknown {
  const parsed = v.safeParse(version1Schema, json);
  if (!parsed.success) return json;
  const { originalMessage, unremovable, command, ...rest } = parsed.output;
  return {
    ...rest,
    version,
    ...(command === undefined ? {} : { command: command === 'reconcile' ? 'reconcile' : command }),
    ...(originalMessage === undefined ? {} : { originalMessage: originalMessage }),
    ...(unremovable === undefined
      ? {}
      : {
          unremovable: unremovable.map(({ originalMessage: why, ...container }) => ({
            ...container,
            originalMessage: why,
          })),
        }),
  };
}

/** The status that follows on what was there: `since` stays while the state does. */
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

/** What the agent says about itself later leaves who asked for the last upgrade. */
function askerOf(before: StatusReading, draft: StatusDraft): Asker | undefined {
  if (draft.askedBy !== undefined || before.kind !== 'valid') return draft.askedBy;
  return draft.command === 'run' || draft.command === 'reconcile' ? before.status.askedBy : undefined;
}

function lastSuccessOf(before: StatusReading): string | undefined {
  if (before.kind !== 'valid') return undefined;
  // A status of a version that didn't write it down.
  return before.status.lastSuccessAt ?? (before.status.state === 'ok' ? before.status.updatedAt : undefined);
}

function scrubStatus(status: HostStatus, scrub: (text: string) => string): HostStatus {
  const clean: unknown = JSON.parse(JSON.stringify(status), (_key, value: unknown) =>
    typeof value === 'string' ? scrub(value) : value,
  );
  return { ...(clean as HostStatus), state: status.state, since: status.since, updatedAt: status.updatedAt };
}

/** The first damaged file is the interesting one: later ones do not replace it. */
async function keepDamaged(path: string): Promise<void> {
  try {
    await link(path, `${path}.damaged`);
  } catch (error) {
    // Kept already, gone meanwhile, or a file system without links: the status itself matters more.
    if (systemCodeOf(error) === undefined) throw error;
  }
}
