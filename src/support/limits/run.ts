/** What an agent does beside its bootstrap. */
export const runLimits = {
  /** How soon an agent on standby notices its promotion if the engine sends no event. */
  ROLE_POLL: 500,
  /** How soon the agent removes a worker whose callers were all killed; two small requests. */
  HOUSEKEEPING: 20_000,
  /** START takes less even at worst: a worker that has not started by then was forgotten by its creator. */
  WORKER_UNSTARTED: 90_000,
  /** Turns (5 min) between two looks for what a killed upgrade left behind; half as often after each find. */
  HOUSEKEEPING_TURNS: 15,
  /** A worker that exits has written the metrics by then: the agent's first count is written once more. */
  METRICS_AGAIN: 15_000,
  /** CATTLE_EXEC_AGENT: reconciling, or creating a worker, takes seconds; a worker continues without us. */
  EXEC_PATIENCE: 60_000,
  /** `docker stop` gives us 10 s: half of it for the bootstrap child. */
  CHILD_GRACE: 5_000,
  /** 50 removals of 1 to 2 s each on a slow host; no removal starts later, and the next start continues. */
  SWEEP_TOTAL: 120_000,
  /** The process of a sweep: connecting, SETTINGS and a list on a slow engine, SWEEP_TOTAL, and one removal in progress. */
  SWEEP_PROCESS: 600_000,
  /** Removals in a row that failed: then it is not the containers but the storage, which needs rest. */
  SWEEP_FAILURES: 3,
} as const;
