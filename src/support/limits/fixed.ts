/**
 * What nothing can change: these limits count in code that runs without a configuration. Milliseconds, unless the
 * comment says bytes.
 */
export const fixedLimits = {
  /** A younger half-written file may belong to a writer that still runs. */
  TEMP_FILE_AGE: 60_000,
  /** Tries: the holder of the host's lock may take away the temporary file of a write, but not again and again. */
  TEMP_FILE_TRIES: 3,
  /** Between SIGTERM and SIGKILL for a command of the host that runs out of time. */
  COMMAND_GRACE: 2_000,
  /** Bytes: `mount` and `modprobe` print a few lines. */
  COMMAND_OUTPUT: 262_144,
  /** Folders beside the lock that are no locks and are removed by one holder: there are none, but somebody may make a million. */
  STRAYS_AT_ONCE: 100,
  /** Bytes of a small file: state, keys and settings have some kB, a bundle of all public authorities 220 kB. */
  SMALL_FILE: 1_048_576,
  /** A small file on a disk under load; a disk that takes longer is unresponsive. */
  SMALL_FILE_TIME: 60_000,
  /**
   * agent.conf: nothing is right without the settings, so a command waits for the disk, says so, and exits after an
   * hour.
   */
  SETTINGS_TIME: 3_600_000,
  /** Lines of agent.conf that are named because they are left out: a person corrects one after the other. */
  CONF_PROBLEMS: 20,
  /** Bytes of a script of the server: a bootstrap script has some 10 kB, and the text is read as a shell reads it. */
  SERVER_SCRIPT: 262_144,
  /** Bytes of one file in /proc: a mount table with 10,000 containers has about 8 MB. */
  KERNEL_FILE: 33_554_432,
  /** Bytes of one mount table: one with 10,000 containers has about 8 MB, and a tenant may make one of 400 MB. */
  MOUNT_TABLE: 33_554_432,
  /** Bytes that are read of it at a time. A line is shorter: two paths of 4,096 bytes, each perhaps written as four, and options. */
  MOUNT_READ: 65_536,
  /** Mounts that are kept of a table: a host with 10,000 containers has two for each. */
  MOUNTS_KEPT: 20_000,
  /** The kernel answers from memory; a loaded host takes seconds for thousands of mounts. */
  KERNEL_FILE_TIME: 10_000,
  /** Bytes of an answer of the engine: an inspection has about 8,000, `/info` 20,000, with thousands of images 200,000. */
  ENGINE_ANSWER: 1_048_576,
  /** Bytes of a longer answer that are read to keep the main parts: more is no answer about one container. */
  ENGINE_ANSWER_SKIMMED: 67_108_864,
  /** Bytes of one line of a pull: progress, or the message of a registry. */
  PULL_LINE: 1_048_576,
  /** Bytes of one entry of a list that are read as a whole: an entry has about 1,000, with 500 labels 30,000. */
  LISTED_ENTRY: 65_536,
  /** Containers of one list: each takes some 300 bytes of memory, and the hosts of the incident had 6,000. */
  LISTED_MOST: 200_000,
  /** Characters of a name, an image, a command or a label of a list: those that the program looks for are shorter. */
  SKIMMED_TEXT: 1_024,
  /** Names that are kept of one entry: a container has one of its own. */
  SKIMMED_TEXTS: 100,
  /** Objects and lists inside each other: an inspection has 6. */
  SKIMMED_DEPTH: 64,
  /** Images whose labels a cleanup remembers: those of the legacy agents of a host are fewer. */
  IMAGES_KNOWN: 50,
  /** Characters of the labels of one image: those of an agent's image have some hundred. */
  IMAGE_LABELS: 16_384,
  /** Characters of a long report that are written at a time: some hundred lines. */
  WRITTEN_PIECE: 16_384,
  /** Bytes of output that are kept for a reader who is behind; the report of 100,000 containers has 30 MB. */
  OUTPUT_BACKLOG: 67_108_864,
  /** How often it is tried again to write to a reader who is behind, while that one reads: a pipe holds 64 kB. */
  OUTPUT_POLL_MIN: 1,
  /** The same while nobody reads: no CPU to speak of. */
  OUTPUT_POLL_MAX: 50,
  /** An exiting process waits this long for its reader: a person may leave a pager open over night. */
  OUTPUT_PATIENCE: 86_400_000,
  /** The same for the log: a worker must exit although the engine does not read what it says. */
  OUTPUT_LOG_PATIENCE: 60_000,
  /** Characters of one text that somebody else chose, in a log, a file or an event; whole lists have more. */
  FOREIGN_TEXT: 16_384,
  /** Bytes: the engine cuts log lines at 16 kB. What announces more is the text of a container with a terminal. */
  LOG_FRAME: 1_048_576,
  /** A file call that was under way when something else failed gets this long before the process exits without it. */
  LEAVE_PATIENCE: 2_000,
  /**
   * Bytes of a worker's container: heap (128 MB), Node (61 MB), the same again for a child process that sweeps, and as much
   * for buffers. A worker that needs more is killed before the host has to kill something else.
   */
  WORKER_MEMORY: 536_870_912,
  /** Processes and threads of a worker: two Nodes with ten each, and a few commands of the host at a time. */
  WORKER_PIDS: 128,
  /** Bytes of one file of the agent's log: an hour's trouble has some 100 kB, and the bootstrap may print much more. */
  AGENT_LOG_SIZE: 10_000_000,
  /** Files of the agent's log: 50 MB reach back for weeks, and no disk is too small for them. */
  AGENT_LOG_FILES: 5,
  /** Bytes of the agent restarter's container: heap and Node, and some room. */
  RESTARTER_MEMORY: 268_435_456,
  /** Processes and threads of the agent restarter: one Node with ten. */
  RESTARTER_PIDS: 64,
  /** Characters of a command or a label that somebody else chose: enough to recognise a container by. */
  SHOWN_TEXT: 80,
  /** How often an exiting process looks whether a file call is still under way. */
  LEAVE_POLL: 10,
} as const;
