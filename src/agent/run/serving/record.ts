import * as v from 'valibot';
import type { StateCause } from '../../../support/causes.ts';

/**
 * Whether the active agent serves (readiness §4, §5): what its bootstrap loop has observed, and nothing else. The agent
 * keeps it in its own container, for the worker that watches it after promotion, and in the host's folder, for `status`,
 * doctor, metrics and health check.
 */

/** In the container's own file system. On the host: `serving.json` in the folder of this entrypoint. */
export const servingFile = '/run/rancher-agent-entrypoint/serving.json';

const time = v.pipe(v.string(), v.isoTimestamp());

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
  bootstrap: v.object({
    /** Runs that were started since this process started. */
    runs: v.number(),
    /** The present run: wall clock, and ms since the host started. Left out while none runs. */
    runningSince: v.exactOptional(time),
    runningSinceElapsed: v.exactOptional(v.number()),
    /** Exits with an error in a row while the server answered; exits by design do not count. */
    failuresInARow: v.number(),
    /** Runs that lasted BOOTSTRAP_WATCH or exited by design. */
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
  }),
});

export type ServingRecord = Readonly<v.InferOutput<typeof servingRecordSchema>>;

/** Told by the bootstrap loop; implementations never throw and never wait for a disk. */
export interface ServingObserver {
  /** The server answered, and knows the keys. */
  answered(): void;
  /** The server gave no live answer, or refused. @param cause stable code @param message one sentence */
  unanswered(cause: StateCause, message: string): void;
  /** The bootstrap has been started. */
  began(): void;
  /** It has exited. */
  exited(exit: {
    readonly status: number | null;
    readonly signal: string | null;
    readonly ms: number;
    readonly byDesign: boolean;
  }): void;
  /** Nothing could be run, by no fault of the server: no bash, no room, a script that is not whole. */
  cannotRun(cause: StateCause, message: string): void;
  /** The script takes the place of this process: nobody will observe it from here on. */
  becameUnknown(cause: StateCause, message: string): void;
}
