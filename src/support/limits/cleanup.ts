/** The rows of `limits.ts` that count for `cleanup` alone. */
export const cleanupLimits = {
  CLEANUP_LIST: {
    value: 300_000,
    unit: 'ms',
    why: 'one list of everything, on a host whose engine takes 30 s and more for it; nothing else is asked meanwhile',
  },
  CLEANUP_CALL: {
    value: 60_000,
    unit: 'ms',
    why: 'an engine that is almost dead answers small questions after 30 s and more',
  },
  CLEANUP_REMOVE: {
    value: 180_000,
    unit: 'ms',
    why: 'a removal on such a host; longer means that it hangs, and the engine may still finish it',
  },
  CLEANUP_PARALLEL: {
    value: 32,
    unit: 'times',
    why: 'at a time at most, looked at or removed: they wait for the disk most of the time; more are no quicker, and others wait longer',
  },
  CLEANUP_SLOW_FROM: {
    value: 1_000,
    unit: 'ms',
    why: 'a removal quicker than this is never a sign of an engine that slows down',
  },
  CLEANUP_SLOW: {
    value: 2_000,
    unit: 'ms',
    why: 'a removal slower than this is always one: half as many at a time from then on',
  },
  CLEANUP_SLOWDOWN: {
    value: 6,
    unit: 'times',
    why: 'so many times slower than the quickest is a sign of it as well',
  },
  CLEANUP_FAILURES: {
    value: 20,
    unit: 'times',
    why: 'so many removals in a row that fail are not the containers, it is the storage: leave it in peace',
  },
  CLEANUP_TRIES: {
    value: 2,
    unit: 'times',
    why: 'a busy mount may be free when all others are gone; what fails then waits for a person',
  },
  CLEANUP_AWAY: {
    value: 120_000,
    unit: 'ms',
    why: 'an engine that is restarted with thousands of containers is back within this',
  },
  CLEANUP_GRACE: {
    value: 7_000,
    unit: 'ms',
    why: 'docker stop gives us 10 s: for the removals in hand, and some for starting the agent again',
  },
  CLEANUP_GLANCE: {
    value: 5_000,
    unit: 'ms',
    why: 'how often a clean-up looks whether a worker is at work and, without a terminal, says how far it is',
  },
  CLEANUP_EXAMPLES: {
    value: 10,
    unit: 'times',
    why: 'containers of one cause that are named, and whose mounts are looked for; a person needs the first',
  },
  SCREEN_TICK: { value: 250, unit: 'ms', why: 'how often a progress bar is drawn: a person sees no more' },
  RATE_WINDOW: {
    value: 10_000,
    unit: 'ms',
    why: 'what was removed within this tells how long the rest takes',
  },
  RESTARTER_POLL: {
    value: 3_000,
    unit: 'ms',
    why: 'how soon a killed clean-up is noticed; one small request',
  },
  RESTARTER_PAUSE_MAX: {
    value: 60_000,
    unit: 'ms',
    why: 'longest pause before an agent that could not be started is tried again',
  },
  RESTARTER_TOTAL: {
    value: 21_600_000,
    unit: 'ms',
    why: 'no clean-up that is well takes 6 h: the agent is started again whatever it does',
  },
} as const;
