/** Calls to the engine. */
export const engineLimits = {
  /** An engine that is starting answers within this, a frozen one never. */
  ENGINE_CONNECT: 30_000,
  /** Inspect is a memory look-up; 1 to 3 s were measured on a slow host. */
  INSPECT: 10_000,
  /** A list of one container, where an inspection got no answer: it needs no lock of the engine. Never longer than the inspection. */
  LIST_ONE: 10_000,
  /** So long an unmanaged container that cannot be inspected is not asked about again: an upgrade has dozens of looks. */
  OUTSIDER_KNOWN: 300_000,
  /** A list of 6,000 containers took seconds on the hosts of the incident. */
  LIST: 30_000,
  /** `/info` counts all containers, images and layers; an old engine locks each container for it. */
  INFO: 30_000,
  /** The engine creates a snapshot and, on devicemapper, a file system. */
  CREATE: 60_000,
  /** Mounts and runtime set-up on a loaded host. */
  START: 60_000,
  /** Grace, kill and the engine's own cleanup; longer means that the shim hangs. */
  STOP: 60_000,
  /** The engine writes one small file. */
  RENAME: 30_000,
  /** The engine deletes a layer of a busy devicemapper pool. */
  REMOVE: 60_000,
  /** Tries: a busy mount is often free a few seconds later; a dead container never is. */
  REMOVE_TRIES: 5,
  /** First pause between two tries to remove a container. */
  REMOVE_PAUSE_MIN: 1_000,
  /** Longest pause between two tries to remove a container. */
  REMOVE_PAUSE_MAX: 30_000,
  /** All tries to remove one container together. */
  REMOVE_TOTAL: 300_000,
  /** Tries: one lost answer is an accident, three are an outage. */
  CALL_TRIES: 3,
  /** First pause before an engine call, a pull or a step is repeated. */
  CALL_PAUSE: 500,
  /** Longest pause before an engine call, a pull or a step is repeated: a daemon restarts in less. */
  CALL_PAUSE_MAX: 30_000,
} as const;
