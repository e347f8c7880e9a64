/** Files, commands and processes of the host. */
export const hostLimits = {
  /** How often a waiter looks whether the lock is free, with jitter. */
  LOCK_POLL: 250,
  /** One look into the folder of the lock: a holder refreshes its lock as often, so a slower look says nothing. */
  LOCK_LOOK: 10_000,
  /** Target images that are remembered on a host; a server that requires more changes its mind all the time. */
  ATTEMPT_TARGETS: 20,
  /** Two servers that require different images alternate every few minutes; a person who changes back does not. */
  FLAPPING_WINDOW: 3_600_000,
  /** Returns: an image that is required once more after a change is a retry; a second return is flapping. */
  FLAPPING_RETURNS: 2,
  /** A worker that refuses stays this long: a server's script that asks every 5 s finds it and creates nothing. */
  FLAPPING_PAUSE: 120_000,
  /** A small file of the host, or its free space, on a disk under load; a disk that takes longer is unresponsive. */
  HOST_FILE: 60_000,
  /** The textfile for Prometheus: nobody waits longer for it, and while it does not answer it is not written again. */
  METRICS_FILE: 5_000,
  /** The file with the server of the keys; on a disk that takes longer an upgrade goes on with the active agent's keys. */
  KEPT_SERVER: 10_000,
  /** Reading the mounts of some thousand processes. */
  HOLDERS_TOTAL: 10_000,
  /** Processes: a host with more has another problem. */
  HOLDERS_PROCESSES: 50_000,
  /** Mount namespaces: a host with 1,000 containers has as many. */
  HOLDERS_NAMESPACES: 5_000,
  /** Mounts of one holder, each perhaps of 4,096 bytes: the first is shown, and the others are counted. */
  HOLDERS_MOUNTS: 3,
  /** Mount holders in the status; a person needs the first one. */
  HOLDERS_SHOWN: 10,
  /** Running containers of our images that are inspected to find our own, where nothing else tells; a host has a few. */
  OWN_SEARCH: 50,
  /** `mount`, `modprobe` and the like on a loaded host. */
  HOST_COMMAND: 30_000,
} as const;
