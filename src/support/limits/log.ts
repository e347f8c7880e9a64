/** What is read from logs, and kept of them. */
export const logLimits = {
  /** The last lines of an agent that failed: the rollback waits for them, so no longer than a stop takes. */
  LOG_TAIL: 3_000,
  /** Lines: an error and its stack; the state stays readable. */
  LOG_TAIL_LINES: 20,
  /** Bytes: the same, for long lines. */
  LOG_TAIL_BYTES: 4_096,
  /** Bytes: an engine may send a whole log instead of its end, and a line of any length is one line. */
  LOG_TAIL_READ: 1_048_576,
  /** Bytes: the log of some fifty tasks; a full file becomes worker.log.1, so that both take twice this. */
  WORKER_LOG_BYTES: 262_144,
  /** Bytes: lines wait in memory while the disk is slow; an unresponsive disk must not fill it. */
  WORKER_LOG_BACKLOG: 65_536,
} as const;
