import * as v from 'valibot';
import { reportedCause } from '../../../support/errors.ts';

/**
 * What a next agent on standby has found out about itself (readiness §1). The agent writes it to a file inside its own
 * container; the worker reads that file, or asks for the same by `run.sh ready --json`.
 *
 * A file alone proves nothing: `docker commit` copies it, and Docker 1.10.3 starts a created container when the daemon
 * starts. So it names the container, its start and its restart count, and the reader compares these with the engine's.
 */

/** In the container's own file system: no folder of the host, and no volume. */
export const readinessFile = '/run/rancher-agent-entrypoint/readiness.json';

/** Label of images whose `run` checks its readiness on standby. An earlier hardened image has only the version label. */
export const readinessLabel = 'io.rancher.agent-entrypoint.readiness';

/** In the order in which they run; the first one that fails is the result. */
export const readinessChecks = [
  /** bash, and what the server's script calls in this profile. */
  'programs',
  /** The way to the server by our own client: DNS, connection, proxy, TLS. */
  'server',
  /** The same request by the image's own curl, in the environment that the script gets. */
  'curl',
  /** The agent keys, by `schemas/configcontent`. */
  'keys',
  /** The bootstrap script: fetched, first line, `bash -n`. */
  'script',
] as const;
export type ReadinessCheck = (typeof readinessChecks)[number];

/**
 * Whose fault a failed check is; one row, or a group of rows, of the table in readiness §2.
 * - `image`: a program is missing, the script is not whole, or the preparation is impossible
 * - `way`: DNS, connection, proxy or TLS fails; 403, 407, 3xx; a page instead of a script
 * - `server`: 429, 5xx, or no answer after the request was sent
 * - `keys`: the API says 401 or 404 for the keys
 */
export const faults = ['image', 'way', 'server', 'keys'] as const;
export type Fault = (typeof faults)[number];

const failureSchema = v.object({
  check: v.picklist(readinessChecks),
  fault: v.picklist(faults),
  /** Stable code for programs, one per check and kind of failure, e.g. `ready-curl-tls`. */
  cause: v.pipe(v.string(), v.transform(reportedCause)),
  /** One sentence for a person, without secrets. */
  message: v.string(),
  hint: v.exactOptional(v.string()),
  /** The server's `Retry-After`, in ms. */
  retryAfterMs: v.exactOptional(v.number()),
  /** Of `keys`: the server refused them twice, 30 s apart. Left out otherwise. */
  confirmed: v.exactOptional(v.boolean()),
});

export const readinessResultSchema = v.object({
  version: v.literal(1),
  /** Full id of the container that wrote it. */
  container: v.string(),
  /** The engine's start time of that container, ms since 1970. */
  startedAt: v.number(),
  restartCount: v.number(),
  /** When the last check was complete: ms since the host started (`Clock.elapsed`), which all containers of a host share. */
  checkedAt: v.number(),
  /** Origin of the server that was asked, e.g. `https://rancher.example:8443`. */
  server: v.string(),
  ready: v.boolean(),
  /** Checks that passed, in order. */
  passed: v.array(v.picklist(readinessChecks)),
  /** The check that failed; left out when ready. */
  failure: v.exactOptional(failureSchema),
  /** Sentences about what may be needed sometimes, e.g. a program that only some servers call; no reason to wait. */
  warnings: v.exactOptional(v.array(v.string())),
});

export type ReadinessResult = Readonly<v.InferOutput<typeof readinessResultSchema>>;
export type ReadinessFailure = NonNullable<ReadinessResult['failure']>;
