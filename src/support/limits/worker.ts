/** Workers, and the callers that wait for them. */
export const workerLimits = {
  /** Waiting for the server takes 10 min, pull and transaction 5 min; a pull in progress adds its own time. */
  WORKER_TOTAL: 900_000,
  /** No worker lives longer: this is above the sum of all its other deadlines, and above what a caller waits. */
  WORKER_LIFE: 3_900_000,
  /** Times that a caller may find a worker dead, or busy with another request. */
  WORKER_ROUNDS: 5,
  /**
   * Tries to create a worker in one round: with WORKER_GONE_PAUSE the engine has 25 s to free the name of a removed
   * one.
   */
  WORKER_CREATE_TRIES: 25,
  /** Looks at a worker that was created and not started: another caller may be about to start it. */
  WORKER_CREATED_LOOKS: 3,
  /** Looks at a worker that the engine is removing, before a caller removes it too. */
  WORKER_REMOVING_LOOKS: 5,
  /** Looks at a name without a container, or at a worker whose removal goes on, before a spare name is used. */
  WORKER_GHOST_LOOKS: 10,
  /** Pause before a caller looks again for a worker that is being removed. */
  WORKER_GONE_PAUSE: 1_000,
  /** A caller never waits longer than this for workers, all rounds together. */
  FOLLOW_TOTAL: 3_600_000,
  /** How often a follower looks whether the worker still runs: the log stream may have stopped without an error. */
  FOLLOW_POLL: 15_000,
  /**
   * Tries to inspect a worker: with its pauses (1, 2, 4, 8 s) an engine may be away for 15 s more than its own
   * deadlines.
   */
  FOLLOW_TRIES: 5,
  /** First pause before a follower inspects the worker again while the engine does not answer. */
  FOLLOW_PAUSE_MIN: 1_000,
  /** Longest pause before a follower inspects the worker again: an engine restarts in less. */
  FOLLOW_PAUSE_MAX: 30_000,
  /** Tries to create the state container: its name may be held by a container that is being removed. */
  STATE_TRIES: 5,
  /** First pause before the state container is created again. */
  STATE_PAUSE_MIN: 1_000,
  /** Longest pause before the state container is created again: an engine restarts in less. */
  STATE_PAUSE_MAX: 30_000,
  /** A caller that follows the worker exits within seconds of it. */
  UPGRADE_CONTAINER_GRACE: 60_000,
  /** How often the agent looks whether an upgrade container has exited; one small request. */
  UPGRADE_CONTAINER_POLL: 2_000,
  /** A holder that is finishing is done by then. */
  LOCK_WAIT: 10_000,
  /** After SIGKILL every lock is stale: three refreshes were missed. */
  LOCK_STALE: 30_000,
  /** How often a live holder touches its lock. */
  LOCK_REFRESH: 10_000,
  /** Pause after the first failed attempt at a target image. */
  ATTEMPT_PAUSE_MIN: 30_000,
  /** Longest pause between two attempts at a target image. */
  ATTEMPT_PAUSE_MAX: 600_000,
  /** Attempts that were killed and do not count: they say little about their target. */
  ATTEMPT_FREE_INTERRUPTIONS: 3,
} as const;
