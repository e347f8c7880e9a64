/** The limits of what is read from, and kept of, logs; part of the table in limits.ts. */
export const logLimits = {
  LOG_TAIL: {
    value: 3_000,
    unit: 'ms',
    why: 'the last lines of an agent that failed; the rollback waits for them, so no longer than a stop takes',
  },
  LOG_TAIL_LINES: { value: 20, unit: 'times', why: 'an error and its stack; the state stays readable' },
  LOG_TAIL_BYTES: { value: 4_096, unit: 'bytes', why: 'the same, for lines that are long' },
  LOG_TAIL_READ: {
    value: 1_048_576,
    unit: 'bytes',
    why: 'an engine that sends a whole log instead of its end (a line of any length is one line) is not read on',
  },
  WORKER_LOG_BYTES: {
    value: 262_144,
    unit: 'bytes',
    why: 'the log of some fifty pieces of work; a full file becomes worker.log.1, so that both take twice this',
  },
  WORKER_LOG_BACKLOG: {
    value: 65_536,
    unit: 'bytes',
    why: 'what is said while the disk is slow waits in memory; a disk that does not answer must not fill it',
  },
} as const;
