/** The transaction that replaces one agent by the next. */
export const transactionLimits = {
  /**
   * `docker restart` leaves a container without a process for 0.1 to 0.6 s, and for seconds on a loaded devicemapper
   * host.
   */
  RESTART_GAP: 10_000,
  /** The new agent must still run after this before the old one is stopped. */
  STANDBY: 1_000,
  /** Times: an agent on standby that so many workers could neither promote nor remove works under its own name. */
  STANDBY_TRIES: 3,
  /** An agent on standby gives its creator this long before it looks for a worker. */
  STANDBY_ALONE: 5_000,
  /** Pause between two looks at a container that must stay up or come back. */
  VERIFY_POLL: 2_000,
  /** Times that somebody else may restart a container while it is verified; more is a fight over it. */
  VERIFY_RESTARTS: 3,
  /** Steps: the longest regular transaction has about 20; more is a loop. */
  TRANSACTION_STEPS: 60,
  /** Times that one step may succeed without any effect: somebody else undoes it. */
  STEP_REPEATS: 3,
  /** Time of its own for the rollback, because the main deadline may be spent. */
  RECOVERY: 300_000,
  /** How often the host is observed again while the engine does not answer. */
  OBSERVE_PAUSE: 1_000,
} as const;
