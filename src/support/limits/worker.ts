/** The limits of workers and of those that wait for them, as in the file beside this one. */
export const workerLimits = {
  WORKER_TOTAL: {
    value: 900_000,
    unit: 'ms',
    why: 'server wait 10 min, pull and transaction 5 min; a pull in progress adds its own',
  },
  WORKER_LIFE: {
    value: 3_900_000,
    unit: 'ms',
    why: 'no worker lives longer, whatever hangs: above the sum of all its other deadlines, and what a caller waits',
  },
  WORKER_ROUNDS: {
    value: 5,
    unit: 'times',
    why: 'how often a caller may find a worker dead or busy with something else',
  },
  WORKER_GONE_PAUSE: {
    value: 1_000,
    unit: 'ms',
    why: 'pause before a caller looks again for a worker that is being removed',
  },
  FOLLOW_TOTAL: {
    value: 3_600_000,
    unit: 'ms',
    why: 'a caller never waits longer than this for workers, whatever they do',
  },
  FOLLOW_POLL: {
    value: 15_000,
    unit: 'ms',
    why: 'a follower looks whether the worker still runs: the stream may have died silently',
  },
  UPGRADE_CONTAINER_GRACE: {
    value: 60_000,
    unit: 'ms',
    why: 'a caller that follows the worker ends within seconds of it',
  },
  LOCK_WAIT: { value: 10_000, unit: 'ms', why: 'a holder that is finishing is done by then' },
  LOCK_STALE: { value: 30_000, unit: 'ms', why: 'after SIGKILL every lock is stale; three missed refreshes' },
  LOCK_REFRESH: { value: 10_000, unit: 'ms', why: 'how often a live holder touches its lock' },
  ATTEMPT_PAUSE_MIN: {
    value: 30_000,
    unit: 'ms',
    why: 'pause after the first failed attempt at a target image',
  },
  ATTEMPT_PAUSE_MAX: { value: 600_000, unit: 'ms', why: 'longest pause between attempts at a target image' },
  UPGRADE_RETRY_MAX: {
    value: 3_600_000,
    unit: 'ms',
    why: 'longest pause before an agent takes up an upgrade again that failed; as long as the server requires it',
  },
  ATTEMPT_FREE_INTERRUPTIONS: {
    value: 3,
    unit: 'times',
    why: 'an attempt that was killed says little about its target',
  },
} as const;
