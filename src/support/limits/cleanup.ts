/** `cleanup`, and the agent restarter. */
export const cleanupLimits = {
  /**
   * One list of everything, or `/info`, on a host whose engine takes 30 s or more for it; nothing else runs
   * meanwhile.
   */
  CLEANUP_LIST: 300_000,
  /** An almost dead engine answers small questions after 30 s or more. */
  CLEANUP_CALL: 60_000,
  /** A faster removal is never a sign of an engine that slows down. */
  CLEANUP_SLOW_FROM: 1_000,
  /** A slower removal always is a sign: from then on half as many run at a time. */
  CLEANUP_SLOW: 2_000,
  /** Times slower than the fastest removal: also a sign. */
  CLEANUP_SLOWDOWN: 6,
  /** Removals in a row that failed: then it is not the containers but the storage, which needs rest. */
  CLEANUP_FAILURES: 20,
  /** Tries, whatever the failure: a busy mount may be free when all others are gone; what fails then waits for a person. */
  CLEANUP_TRIES: 2,
  /** An engine that restarts with thousands of containers is back within this. */
  CLEANUP_AWAY: 120_000,
  /** `docker stop` gives us 10 s: for the removals that run, and some for starting the agent again. */
  CLEANUP_GRACE: 7_000,
  /** How often a cleanup looks whether a worker runs and, without a terminal, reports its progress. */
  CLEANUP_GLANCE: 5_000,
  /** How often a cleanup looks whether a storage that was low has room again: `/info` takes long on such a host. */
  CLEANUP_SPACE: 15_000,
  /** Containers of one cause that are named and whose mounts are searched for; a person needs the first. */
  CLEANUP_EXAMPLES: 10,
  /** How often a progress bar is drawn: a person sees no more. */
  SCREEN_TICK: 250,
  /** The removals within this say how long the rest takes. */
  RATE_WINDOW: 10_000,
  /** How soon a killed cleanup is noticed; one small request. */
  RESTARTER_POLL: 3_000,
  /** First pause before an agent that could not be started is tried again. */
  RESTARTER_PAUSE_MIN: 1_000,
  /** Longest pause before an agent that could not be started is tried again. */
  RESTARTER_PAUSE_MAX: 60_000,
  /** No healthy cleanup takes 6 h: the restarter then starts the agent in any case. */
  RESTARTER_TOTAL: 21_600_000,
} as const;
