/** Readiness: how a next agent proves it, how the worker decides on it, and the lock on the shared mounts. */
export const readinessLimits = {
  /**
   * Each request of a readiness check. Longer than HTTP_CONNECT, so that "cannot reach the server" and "the server does not
   * answer" stay apart.
   */
  READY_REQUEST: 20_000,
  /** After READY_REQUEST, before we end a curl that should have given up: its own message says more. */
  READY_CURL_GRACE: 2_000,
  /** First pause while an agent on standby is not ready. */
  READY_RETRY_MIN: 5_000,
  /** Longest pause while it is not ready: a worker accepts a result of the last 30 s. */
  READY_RETRY_MAX: 30_000,
  /** A Retry-After counts up to this: a person who waits for an upgrade waits no longer for it. */
  READY_RETRY_AFTER: 60_000,
  /** One small request; with 5 s for a slow answer a ready result is never older than 20 s. */
  READY_REFRESH: 15_000,
  /** An older staged script is fetched again, and the curl of the image is tried again with it. */
  READY_SCRIPT_AGE: 120_000,
  /** Keys that are refused twice, this far apart, are refused; a failover of the database takes seconds. */
  READY_KEYS_CONFIRM: 30_000,
  /** Mounts and folders for the first script: seconds on a loaded host, never on an unresponsive disk. */
  ACTIVE_PATIENCE: 10_000,
  /** Some small files and update-ca-certificates; on an unresponsive disk the agent continues without them. */
  TRUST_PATIENCE: 2_000,
  /** Another agent of this host that prepares the shared mounts is done by then. */
  MOUNTS_LOCK_WAIT: 10_000,
  /** Another agent that held the lock on the mounts was killed; a promoted agent may be waiting. */
  MOUNTS_LOCK_STALE: 5_000,
  /** How often a live holder touches the lock on the mounts. */
  MOUNTS_LOCK_REFRESH: 1_000,
  /** How often the worker reads a small file; each look may delay the new agent by a quarter of a second. */
  READY_POLL: 250,
  /** An older readiness result says nothing about now; the next agent renews it every 20 s. */
  READY_FRESH: 30_000,
  /** All checks of `run.sh ready`, run in a container on a loaded host. */
  READY_EXEC: 60_000,
  /** Times that the old agent is measured before an image is refused: behind a load balancer, one answer proves little. */
  REACH_TRIES: 3,
  /** Bytes: a readiness result or serving record has about 1 kB. */
  READY_BYTES: 65_536,
  /** An upgrade container this young proves that the legacy agent's server has just answered. */
  ANSWER_FRESH: 30_000,
  /** While a legacy agent waits: it works again within 15 s after the setting was turned back. */
  REQUIREMENT_POLL: 5_000,
  /** A server that is away this long decides nothing: the new agent stays, and the state says so. */
  BOOTSTRAP_WATCH_TOTAL: 300_000,
  /** How often the worker reads the record of an agent whose bootstrap it watches. */
  BOOTSTRAP_WATCH_POLL: 1_000,
} as const;
