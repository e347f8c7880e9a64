/** The limits of the bootstrap loop, as in the file beside this one; `run/pace.ts` says how they work together. */
export const bootstrapLimits = {
  BOOTSTRAP_PAUSE_MIN: { value: 5_000, unit: 'ms', why: 'as upstream between two bootstraps' },
  BOOTSTRAP_PAUSE_MAX: { value: 300_000, unit: 'ms', why: 'a server that is down for hours is not hammered' },
  BOOTSTRAP_SPREAD: {
    value: 15_000,
    unit: 'ms',
    why: 'a server that restarts loses all its agents in the same second: a thousand come back by about 70 a second',
  },
  BOOTSTRAP_LASTED: {
    value: 20_000,
    unit: 'ms',
    why: 'a bootstrap that ran this long did not exit at once: download and start take up to 10 s, the shortest connection limit of a proxy is 30 s',
  },
  BOOTSTRAP_JITTER: {
    value: 2_000,
    unit: 'ms',
    why: 'chance in the pause after a bootstrap that lasted: 5 to 7 s, so that a connection of 30 s costs as much time as with the legacy entrypoint',
  },
  BOOTSTRAP_HEALTHY: {
    value: 600_000,
    unit: 'ms',
    why: 'after a run of this length a pause of up to 20 s is 2 % of the time at most: then a thousand hosts are spread over BOOTSTRAP_SPREAD',
  },
  STAMP_RECENT: {
    value: 10_000,
    unit: 'ms',
    why: 'the agent looks at its stamp every 2 s, and exits with 1 by design when it has changed; five times that for a loaded host',
  },
  STAGED_AGE: {
    value: 120_000,
    unit: 'ms',
    why: 'a script that was staged on standby is run without a request up to this age; the server may require another image by then',
  },
  SERVING_POLL: {
    value: 300_000,
    unit: 'ms',
    why: 'how often the server is asked while a bootstrap runs, which may be 12 h; a thousand hosts are 3 requests a second',
  },
  CREDENTIALS_APART: {
    value: 30_000,
    unit: 'ms',
    why: 'keys count as revoked when they are refused twice, this far apart: a database that fails over refuses all keys for seconds',
  },
  CREDENTIALS_PAUSE: {
    value: 1_800_000,
    unit: 'ms',
    why: 'revoked keys come back only by a new registration, which replaces us',
  },
} as const;
