/** The limits of readiness: how a next agent proves it, how the worker judges it, and the lock on the shared mounts. */
export const readinessLimits = {
  READY_REQUEST: {
    value: 20_000,
    unit: 'ms',
    why: 'longer than HTTP_CONNECT, so that no way to the server and no answer of the server are told apart',
  },
  READY_RETRY_MIN: { value: 5_000, unit: 'ms', why: 'first pause while an agent on standby is not ready' },
  READY_RETRY_MAX: {
    value: 30_000,
    unit: 'ms',
    why: 'longest pause while not ready: a worker believes a result of the last 30 s',
  },
  READY_RETRY_AFTER: {
    value: 60_000,
    unit: 'ms',
    why: 'a Retry-After counts up to this: whoever waits for an upgrade waits no longer for it',
  },
  READY_REFRESH: {
    value: 15_000,
    unit: 'ms',
    why: 'one small request; with 5 s for a slow answer a ready result is never older than 20 s',
  },
  READY_SCRIPT_AGE: {
    value: 120_000,
    unit: 'ms',
    why: 'a staged script older than this is fetched again, and the curl of the image tried again with it',
  },
  READY_KEYS_CONFIRM: {
    value: 30_000,
    unit: 'ms',
    why: 'keys refused twice, so long apart, are refused; a failover of the database takes seconds',
  },
  ACTIVE_PATIENCE: {
    value: 10_000,
    unit: 'ms',
    why: 'mounts and folders for the first script; on a loaded host seconds, on a disk that does not answer never',
  },
  TRUST_PATIENCE: {
    value: 2_000,
    unit: 'ms',
    why: 'some small files and update-ca-certificates; where the disk does not answer, the agent goes on without',
  },
  MOUNTS_LOCK_WAIT: {
    value: 10_000,
    unit: 'ms',
    why: 'another agent of this host that prepares the shared mounts is done by then',
  },
  MOUNTS_LOCK_STALE: {
    value: 5_000,
    unit: 'ms',
    why: 'a holder of the lock on the mounts that was killed; a promoted agent may be waiting',
  },
  MOUNTS_LOCK_REFRESH: {
    value: 1_000,
    unit: 'ms',
    why: 'how often a live holder touches the lock on the mounts',
  },
  READY: {
    value: 60_000,
    unit: 'ms',
    why: 'a next agent that could not prove its readiness within this is not promoted; the keys are asked for twice, 30 s apart',
  },
  READY_POLL: {
    value: 250,
    unit: 'ms',
    why: "the worker's looks at a small file; each is a quarter of a second more until the new agent is active",
  },
  READY_FRESH: {
    value: 30_000,
    unit: 'ms',
    why: 'an older readiness result says nothing about now; the next agent renews it every 20 s',
  },
  READY_EXEC: {
    value: 60_000,
    unit: 'ms',
    why: 'all checks of run.sh ready, asked in a container, on a loaded host',
  },
  READY_BYTES: { value: 65_536, unit: 'bytes', why: 'a readiness result or serving record has about 1 kB' },
  ANSWER_FRESH: {
    value: 30_000,
    unit: 'ms',
    why: "an upgrade container this young proves that the legacy agent's server has just answered",
  },
  REQUIREMENT_POLL: {
    value: 5_000,
    unit: 'ms',
    why: 'while a legacy agent waits: it works again within 15 s after the setting was turned back',
  },
  BOOTSTRAP_WATCH_TOTAL: {
    value: 300_000,
    unit: 'ms',
    why: 'a server that is away this long decides nothing: the new agent stays and the state says so',
  },
} as const;
