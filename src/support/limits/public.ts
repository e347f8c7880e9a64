/** A limit that a person may change. `--help` and docs/configuration.md are generated from these rows. */
export interface LimitRow {
  readonly value: number;
  readonly unit: 'ms' | 'bytes' | 'percent' | 'inodes' | 'containers';
  readonly why: string;
}

/** The limits that a person may want to change for one host or one fleet, with unit and reason. */
export const publicRows = {
  // ── server ────────────────────────────────────────────────────────────────
  SERVER_TOTAL: {
    value: 600_000,
    unit: 'ms',
    why: 'registration waits this long for its server, as the legacy entrypoint does; then the worker still has time to act',
  },
  REGISTER_TOTAL: {
    value: 300_000,
    unit: 'ms',
    why: 'the server creates an account before it registers the host; v1.6.30 also waits this long',
  },
  HTTP_CONNECT: { value: 15_000, unit: 'ms', why: 'the legacy entrypoint uses curl --connect-timeout 15' },
  HTTP_TOTAL: {
    value: 60_000,
    unit: 'ms',
    why: 'a server that accepts the connection and never answers must not block the agent',
  },
  BOOTSTRAP_PAUSE_MAX: {
    value: 300_000,
    unit: 'ms',
    why: 'longest pause between two bootstrap runs, so that a server that is down for hours is not flooded',
  },
  // ── upgrade ───────────────────────────────────────────────────────────────
  PULL_SILENCE: {
    value: 300_000,
    unit: 'ms',
    why: 'a pull that reports no progress for 5 min does not continue',
  },
  PULL_TOTAL: {
    value: 1_800_000,
    unit: 'ms',
    why: 'a slow line pulls the image in less time than this',
  },
  READY: {
    value: 60_000,
    unit: 'ms',
    why: 'a next agent that is not ready by then is not promoted; it tests refused keys twice, 30 s apart',
  },
  STOP_GRACE: {
    value: 3_000,
    unit: 'ms',
    why: 'the old agent has nothing to save, and each second here is a second without an agent',
  },
  VERIFY: {
    value: 10_000,
    unit: 'ms',
    why: 'the new agent must stay up this long; an image that cannot run exits sooner',
  },
  BOOTSTRAP_WATCH: {
    value: 60_000,
    unit: 'ms',
    why: 'a bootstrap that cannot work exits within seconds; one that runs this long has its websocket',
  },
  UPGRADE_RETRY_MAX: {
    value: 3_600_000,
    unit: 'ms',
    why: 'longest pause before the agent retries a failed upgrade that the server still requires',
  },
  // ── room on the host ──────────────────────────────────────────────────────
  STORAGE_FREE: {
    value: 209_715_200,
    unit: 'bytes',
    why: 'two container layers, metadata and logs; with less room, engines fail halfway',
  },
  STORAGE_FREE_INODES: {
    value: 2_000,
    unit: 'inodes',
    why: 'a container layer and its folder take some hundred inodes',
  },
  POOL_DATA_USED: {
    value: 95,
    unit: 'percent',
    why: 'a full devicemapper pool corrupts file systems; engines refuse from 90 to 99 %',
  },
  POOL_METADATA_USED: {
    value: 90,
    unit: 'percent',
    why: 'full pool metadata broke the hosts of the incident, and nothing extends it automatically',
  },
  // ── leaked helpers ────────────────────────────────────────────────────────
  SWEEP_COUNT: {
    value: 50,
    unit: 'containers',
    why: 'the agent removes this many leaked helpers at each start, so that it does not flood a slow engine',
  },
  SWEEP_AGE: {
    value: 600_000,
    unit: 'ms',
    why: 'a younger helper may still be in use: an upgrade reads it, and newer servers stop it after 5 min',
  },
  CLEANUP_PARALLEL: {
    value: 32,
    unit: 'containers',
    why: 'cleanup inspects or removes this many at the same time; more are not faster',
  },
  CLEANUP_REMOVE: {
    value: 180_000,
    unit: 'ms',
    why: 'one removal on an almost dead engine; a longer one hangs, and the engine may still finish it',
  },
  // ── doctor ────────────────────────────────────────────────────────────────
  DOCTOR_CALL: {
    value: 60_000,
    unit: 'ms',
    why: 'an almost dead engine answers after 30 s or more, a frozen one never',
  },
  DOCTOR_INSPECT: {
    value: 45_000,
    unit: 'ms',
    why: 'shorter than DOCTOR_CALL, so that one container that hangs does not hide the others',
  },
  DOCTOR_TOTAL: {
    value: 180_000,
    unit: 'ms',
    why: 'three engine calls, one after the other; then the doctor shows what it knows',
  },
} as const satisfies Record<string, LimitRow>;
