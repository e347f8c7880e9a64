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
