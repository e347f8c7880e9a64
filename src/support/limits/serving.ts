/** Serving, and the health check. */
export const servingLimits = {
  /** A run that lasts this long proves something, however long the failed ones before it had run: nothing waits that long in vain. */
  BOOTSTRAP_DOUBT: 600_000,
  /** Exits with an error in a row: one is an accident, three while the server answers are the image or the script. */
  BOOTSTRAP_WATCH_EXITS: 3,
  /** A running bootstrap keeps its websocket through a short outage; two failed polls prove nothing. */
  SERVING_SILENCE: 600_000,
  /** A first start, or a reconnect after an exit by design, takes seconds; a server restarts in a minute or two. */
  SERVING_GRACE: 120_000,
  /**
   * How long a bootstrap may run without a connection to its server until the agent says so: the download and the start take
   * seconds, on a slow line minutes, and the worker that watches the bootstrap looks for 5 min.
   */
  CONNECTION_PATIENCE: 180_000,
  /** First pause between two looks at a bootstrap without a connection: the agent of the server connects after a second or two. */
  CONNECTION_POLL_MIN: 500,
  /** The pause doubles up to this: the worker that watches a new agent waits for the first connection. */
  CONNECTION_POLL_WAITING: 5_000,
  /** How often a connection that is open is looked at again: some files of the kernel, which are in memory. */
  CONNECTION_POLL: 15_000,
  /** One look: the kernel answers at once, and a loaded host takes seconds for thousands of connections. */
  CONNECTION_LOOK: 10_000,
  /** Processes of one bootstrap that are looked at: an agent has a few, and one for each command that it runs. */
  CONNECTION_PROCESSES: 200,
  /** Open files of one of them, and its threads: an agent has some dozen of each. */
  CONNECTION_FILES: 4_096,
  /** How soon the passing of time alone is noticed; only memory is read. */
  SERVING_TICK: 5_000,
  /** An agent that just became active writes its record within a second; on a disk that was full, one tick later. */
  SERVING_WAIT: 10_000,
  /** How often an unchanged record is written again. */
  SERVING_REFRESH: 60_000,
  /** Three refreshes were missed: nobody keeps this record any more. */
  SERVING_STALE: 180_000,
  /** Bytes: the record has less than 2 kB. */
  SERVING_FILE: 65_536,
  /** How often the heartbeat is written: one block, over and over. */
  HEARTBEAT: 5_000,
  /** An event loop that is silent for this long is not only busy; garbage collection and a loaded host take seconds. */
  HEARTBEAT_STALE: 60_000,
  /** Two heartbeats: a younger one shows that the event loop of a watched agent turns now. */
  HEARTBEAT_FRESH: 10_000,
  /** As often as the health check runs: one connection to the socket, one small file. */
  HEALTH_PROBE: 30_000,
  /** How long the engine's socket is dead in the agent's container, while the host's answers, until the agent restarts: two looks. */
  SOCKET_PATIENCE: 60_000,
  /** A local socket accepts or refuses at once. */
  HEALTH_CONNECT: 5_000,
  /** Bytes: resolv.conf has some hundred. */
  HEALTH_FILE: 65_536,
  /** A resolver gives up after 5 s for each of its servers. */
  HEALTH_LOOKUP: 15_000,
} as const;
