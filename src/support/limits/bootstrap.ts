/** The bootstrap loop; `agent/run/bootstrap/pace.ts` says how these work together. */
export const bootstrapLimits = {
  /** How often an agent whose keys are for another server reads the host's file: a registration waits for it. */
  OTHER_SERVER_POLL: 2_000,
  /** Then it says so once more. */
  OTHER_SERVER_WAIT: 600_000,
  /** Pause between two bootstrap runs, as in the legacy entrypoint. */
  BOOTSTRAP_PAUSE_MIN: 5_000,
  /** A server that restarts loses all its agents in the same second: a thousand come back at about 70 a second. */
  BOOTSTRAP_SPREAD: 15_000,
  /**
   * A run of this length did not fail at once: download and start take up to 10 s, a proxy closes connections after
   * 30 s or more.
   */
  BOOTSTRAP_LASTED: 20_000,
  /**
   * Jitter after a run that lasted (5 to 7 s): a connection of 30 s costs as much time as with the legacy entrypoint.
   */
  BOOTSTRAP_JITTER: 2_000,
  /**
   * After a run of this length a pause of 20 s is at most 2 % of the time: a thousand hosts spread over
   * BOOTSTRAP_SPREAD.
   */
  BOOTSTRAP_HEALTHY: 600_000,
  /**
   * The agent checks its stamp every 2 s and exits with 1 by design when it changed; five times that for a loaded
   * host.
   */
  STAMP_RECENT: 10_000,
  /**
   * A script staged on standby runs without a new request up to this age; later the server may require another image.
   */
  STAGED_AGE: 120_000,
  /**
   * How often the server is asked while a bootstrap runs, which may be 12 h; a thousand hosts are 3 requests a
   * second.
   */
  SERVING_POLL: 300_000,
  /**
   * Keys count as revoked after two refusals this far apart: a database that fails over refuses all keys for seconds.
   */
  CREDENTIALS_APART: 30_000,
  /** Revoked keys come back only by a new registration, which replaces this agent. */
  CREDENTIALS_PAUSE: 1_800_000,
} as const;
