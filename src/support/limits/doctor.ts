/** Doctor and status. */
export const doctorLimits = {
  /** A person waits: `status` reports a disk that takes longer for a small file as unresponsive. */
  STATUS_FILE: 10_000,
  /** A healthy server answers within one second. */
  DOCTOR_SERVER: 20_000,
  /** Containers that look like agents under names of their own and are inspected; a host has one or two agents. */
  DOCTOR_AGENTS: 20,
  /** Containers or processes in one line; a person needs the first. */
  DOCTOR_NAMED: 3,
  /** Bytes: one pull of an agent image and some logs above the limit that defers upgrades. */
  DOCTOR_FREE: 1_073_741_824,
  /** Inodes: one image of the usual size above the limit that defers upgrades. */
  DOCTOR_FREE_INODES: 20_000,
  /** Bytes: nobody reads such a log, and logs of 9.4 GB have filled disks. */
  DOCTOR_LOG: 2_000_000_000,
  /** Containers whose logs are looked at; those of a host without a leak are some hundred. */
  DOCTOR_LOGS: 5_000,
  /** Percent: leaves time to act before upgrades are deferred. */
  DOCTOR_POOL_DATA: 80,
  /** Percent: the pools of the incident went from half full to dead within hours. */
  DOCTOR_POOL_METADATA: 70,
  /** `status --watch`: fast enough for a person, and one small list each time. */
  STATUS_REFRESH: 2_000,
  /** `status --watch` exits after a working day: `docker exec` leaves its process behind when its client is killed. */
  STATUS_WATCH: 28_800_000,
  /** `status --watch`: how often leaked helpers, perhaps a list of thousands, are counted again. */
  STATUS_LEAKS: 60_000,
  /** A regular helper lives for 1 s and is removed within the next; younger ones are not counted. */
  LEAK_GRACE: 10_000,
  /**
   * Two leaked helpers within this are a leak: a loop leaks every 10 to 60 s, or every 5 min where the server waits.
   */
  LEAK_WINDOW: 900_000,
  /** A loop that has not leaked for this long, and for three of its own pauses, has stopped. */
  LEAK_SILENCE: 60_000,
  /** The rate is counted over the last hour. */
  LEAK_RATE: 3_600_000,
  /** Restarts by the engine: so many are no accident. */
  RESTART_LOOP: 3,
  /** A container that has been up for longer has recovered. */
  RESTART_LOOP_WINDOW: 600_000,
  /** Days: a month leaves time to renew a certificate on a whole fleet. */
  CERTIFICATE_DAYS: 30,
  /** The server's header has whole seconds; beyond a minute, logs, tokens and certificates disagree. */
  CLOCK_SKEW: 60_000,
  /** A difference that the header's whole seconds and the way of the answer explain: the clocks are the same. */
  CLOCK_SAME: 2_000,
} as const;
