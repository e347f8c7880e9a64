/** Requests to the server. */
export const controlPlaneLimits = {
  /** Bytes: the largest regular answer is a list of schemas of some 100 kB; 8 MB of small objects fill the memory. */
  HTTP_BODY: 1_048_576,
  /** Redirects: one for a slash or a path is regular; more are a loop. */
  HTTP_REDIRECTS: 5,
  /** Tries: one lost answer is an accident, three are an outage. */
  HTTP_TRIES: 3,
  /** One handshake, to say what is too weak in it. */
  TLS_VIEW: 10_000,
  /** First pause before a request is repeated, and the shortest after Retry-After. */
  HTTP_RETRY_PAUSE_MIN: 500,
  /** Longest pause before a request is repeated, even after Retry-After; jitter adds up to a quarter. */
  HTTP_RETRY_PAUSE_MAX: 10_000,
  /** Tries: the legacy entrypoint tries 300 times, 2 s apart. */
  SERVER_TRIES: 300,
  /** Pause between two tries to reach the server, as in the legacy entrypoint. */
  SERVER_PAUSE: 2_000,
  /** Times that a registration which the server lost meanwhile starts again. */
  REGISTER_ROUNDS: 5,
  /** First pause between two polls of a registration, as in the python client. */
  REGISTER_POLL_MIN: 10,
  /** Longest pause between two polls of a registration, as in the python client. */
  REGISTER_POLL_MAX: 2_000,
  /** A new registration token is active within this, as in the python client. */
  RESOLVE_TOTAL: 45_000,
  /** The audit log of the server gets at most one line per error in this time. */
  EVENT_GAP: 600_000,
  /** A failed state may last only until the next try, some seconds later; one small file is read. */
  EVENT_POLL: 2_000,
} as const;
