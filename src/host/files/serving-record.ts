import * as v from 'valibot';

/**
 * Whether the active agent serves (readiness §4, §5): what its bootstrap loop has observed, and nothing else. The agent
 * keeps it in its own container, for the worker that watches it after promotion, and in the host's folder, for `status`,
 * doctor, metrics and health check. The status file has a part of it.
 */

const time = v.pipe(v.string(), v.isoTimestamp());

const bootstrapSchema = v.object({
  /** Runs that were started since this process started. */
  runs: v.number(),
  /** The present run: wall clock, and ms since the host started. Left out while none runs. */
  runningSince: v.exactOptional(time),
  runningSinceElapsed: v.exactOptional(v.number()),
  /**
   * Whether the present run holds a connection to another machine, which may be the server: `none` means not yet, or not any more.
   * Left out while none runs, and where it cannot be seen.
   */
  connection: v.exactOptional(v.picklist(['open', 'none'])),
  /** Exits with an error in a row while the server answered; exits by design do not count. */
  failuresInARow: v.number(),
  /** Runs that exited by design. */
  good: v.number(),
  lastExit: v.exactOptional(
    v.object({
      at: time,
      status: v.nullable(v.number()),
      signal: v.nullable(v.string()),
      /** How long it ran, in ms. */
      ms: v.number(),
      /** Exit 0, or exit 1 after `.pyagent-stamp` changed (control-plane §5.4). */
      byDesign: v.boolean(),
    }),
  ),
});

export const servingRecordSchema = v.object({
  version: v.literal(1),
  /** Full id of the container that wrote it; empty where it does not know itself. */
  container: v.string(),
  /** The engine's start time of that container, ms since 1970; 0 where unknown. */
  startedAt: v.number(),
  /** `unknown` is never worded as serving. */
  serving: v.picklist(['yes', 'no', 'unknown']),
  /** When `serving` got its present value. */
  since: time,
  /** When this record was written: wall clock, and ms since the host started (`Clock.elapsed`). */
  updatedAt: time,
  updatedElapsed: v.number(),
  /** Origin of the server. */
  server: v.string(),
  /** Last live answer of the server to our keys. */
  lastAnswerAt: v.exactOptional(time),
  /** Whether the last request to the server got a live answer; left out before the first one. */
  answered: v.exactOptional(v.boolean()),
  /** Stable code why it does not serve, e.g. `server-unreachable`, `keys-revoked`, `bootstrap-fails`, `no-bash`. */
  cause: v.exactOptional(v.string()),
  /** One sentence for a person. */
  message: v.exactOptional(v.string()),
  bootstrap: bootstrapSchema,
});

export type ServingRecord = Readonly<v.InferOutput<typeof servingRecordSchema>>;

/** The part of it that stands in the status file, as the agent last reported it there. */
export const servingSummarySchema = v.object({
  ...v.pick(servingRecordSchema, [
    'container',
    'serving',
    'since',
    'updatedAt',
    'server',
    'lastAnswerAt',
    'cause',
    'message',
  ]).entries,
  bootstrap: v.pick(bootstrapSchema, ['runningSince', 'failuresInARow', 'lastExit']),
});

export type ServingSummary = Readonly<v.InferOutput<typeof servingSummarySchema>>;
