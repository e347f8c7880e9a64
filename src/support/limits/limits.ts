import { bootstrapLimits } from './bootstrap.ts';
import { cleanupLimits } from './cleanup.ts';
import { logLimits } from './log.ts';
import { readinessLimits } from './readiness.ts';
import { servingLimits } from './serving.ts';
import { workerLimits } from './worker.ts';

/**
 * Every deadline and limit of the program, each with its reason; those of one subject are in a file of their own beside this
 * one. Nothing else in `src` holds a literal duration.
 * `AGENT_LIMIT_<NAME>` in the environment overrides one of them: milliseconds, or a count for those that count.
 */

interface LimitRow {
  readonly value: number;
  readonly unit: 'ms' | 'times' | 'bytes' | 'percent' | 'days';
  readonly why: string;
}

const table = {
  // ── engine calls ──────────────────────────────────────────────────────────
  ENGINE_CONNECT: {
    value: 30_000,
    unit: 'ms',
    why: 'an engine that is starting answers within this, a frozen one never',
  },
  INSPECT: {
    value: 10_000,
    unit: 'ms',
    why: 'inspect is a memory look-up; on a sick host 1–3 s were measured',
  },
  LIST: {
    value: 30_000,
    unit: 'ms',
    why: 'a list of 6,000 containers took seconds on the hosts of the incident',
  },
  CREATE: { value: 60_000, unit: 'ms', why: 'devicemapper creates a snapshot and a file system' },
  START: { value: 60_000, unit: 'ms', why: 'mounting and runtime set-up on a loaded host' },
  STOP_GRACE: {
    value: 3_000,
    unit: 'ms',
    why: 'the agent has nothing to save; each second here is a second without it',
  },
  STOP: {
    value: 60_000,
    unit: 'ms',
    why: 'grace, kill and the clean-up behind it; longer means a hung shim',
  },
  RENAME: { value: 30_000, unit: 'ms', why: 'one small file is written' },
  REMOVE: { value: 60_000, unit: 'ms', why: 'deleting a layer of a busy devicemapper pool' },
  REMOVE_TRIES: {
    value: 5,
    unit: 'times',
    why: 'a busy mount is often free a few seconds later; a corpse never is',
  },
  REMOVE_PAUSE_MIN: { value: 1_000, unit: 'ms', why: 'first pause between tries to remove' },
  REMOVE_PAUSE_MAX: { value: 30_000, unit: 'ms', why: 'longest pause between tries to remove' },
  REMOVE_TOTAL: { value: 300_000, unit: 'ms', why: 'all tries to remove one container together' },
  CALL_TRIES: { value: 3, unit: 'times', why: 'one lost answer is an accident, three are an outage' },
  CALL_PAUSE: { value: 500, unit: 'ms', why: 'first pause before an engine call is repeated' },
  PULL_SILENCE: { value: 300_000, unit: 'ms', why: 'a pull that reports nothing for 5 min is stuck' },
  PULL_TOTAL: { value: 1_800_000, unit: 'ms', why: 'a slow line pulls the image in less' },
  // ── transaction ───────────────────────────────────────────────────────────
  RESTART_GAP: {
    value: 10_000,
    unit: 'ms',
    why: 'docker restart leaves a container without a process for 0.1–0.6 s, and for seconds on a loaded devicemapper host',
  },
  STANDBY: {
    value: 1_000,
    unit: 'ms',
    why: 'the new agent must still be up after this before the old one is stopped',
  },
  STANDBY_TRIES: {
    value: 3,
    unit: 'times',
    why: 'one standing by that could not be promoted or removed by so many workers acts under its own name',
  },
  STANDBY_ALONE: {
    value: 5_000,
    unit: 'ms',
    why: 'one standing by gives whoever made it this long before it looks for a worker',
  },
  VERIFY: { value: 10_000, unit: 'ms', why: 'an image that cannot run fails within this, mostly at once' },
  VERIFY_POLL: { value: 2_000, unit: 'ms', why: 'pause between two looks at a container that must stay up' },
  TRANSACTION_STEPS: {
    value: 60,
    unit: 'times',
    why: 'the longest honest way is about 20 steps; more is a loop',
  },
  RECOVERY: {
    value: 300_000,
    unit: 'ms',
    why: 'time of its own for the way back: the main one may be spent',
  },
  ...readinessLimits,
  ...workerLimits,
  // ── host ──────────────────────────────────────────────────────────────────
  LOCK_POLL: { value: 250, unit: 'ms', why: 'how often a waiter looks whether the lock is free, jittered' },
  TEMP_FILE_AGE: {
    value: 60_000,
    unit: 'ms',
    why: 'a half-written file older than this was left by a writer that was killed',
  },
  ATTEMPT_TARGETS: {
    value: 20,
    unit: 'times',
    why: 'target images remembered on a host; more is a server that changes its mind',
  },
  FLAPPING_WINDOW: {
    value: 3_600_000,
    unit: 'ms',
    why: 'two servers that ask in turn do so every few minutes, a person who changes back does not',
  },
  FLAPPING_RETURNS: {
    value: 2,
    unit: 'times',
    why: 'asked for once more after a change back is a retry; a second return is a quarrel',
  },
  FLAPPING_PAUSE: {
    value: 120_000,
    unit: 'ms',
    why: "a worker that refuses stays this long: a server's script that asks every 5 s finds it and makes nothing new",
  },
  COMMAND_GRACE: {
    value: 2_000,
    unit: 'ms',
    why: 'between SIGTERM and SIGKILL for a host command out of time',
  },
  COMMAND_OUTPUT: {
    value: 262_144,
    unit: 'bytes',
    why: 'mount and modprobe say a few lines; more is a runaway',
  },
  HOST_FILE: {
    value: 60_000,
    unit: 'ms',
    why: 'a small file of the host, or its free space, on a disk under load; a disk that takes longer is dead',
  },
  STORAGE_FREE: {
    value: 209_715_200,
    unit: 'bytes',
    why: 'two container layers, metadata and logs; engines fail in the middle below that',
  },
  STORAGE_FREE_INODES: {
    value: 2_000,
    unit: 'times',
    why: 'a container layer and its folder take some hundred inodes',
  },
  POOL_DATA_USED: {
    value: 95,
    unit: 'percent',
    why: 'a devicemapper pool that fills up corrupts file systems; engines refuse from 90–99 %',
  },
  POOL_METADATA_USED: {
    value: 90,
    unit: 'percent',
    why: 'full pool metadata is what killed the hosts of the incident, and it is not extended by itself',
  },
  HOLDERS_TOTAL: { value: 10_000, unit: 'ms', why: 'reading the mounts of some thousand processes' },
  HOLDERS_PROCESSES: {
    value: 50_000,
    unit: 'times',
    why: 'more processes than that: the host has another problem',
  },
  HOLDERS_SHOWN: {
    value: 10,
    unit: 'times',
    why: 'holders named in the status; a person needs the first one',
  },
  // ── doctor and status ─────────────────────────────────────────────────────
  DOCTOR_CALL: {
    value: 60_000,
    unit: 'ms',
    why: 'an almost dead engine answers after 30 s and more, a frozen one never',
  },
  DOCTOR_INSPECT: {
    value: 45_000,
    unit: 'ms',
    why: 'shorter than a call, so that one container that hangs does not hide the others',
  },
  DOCTOR_TOTAL: {
    value: 180_000,
    unit: 'ms',
    why: 'three engine calls one after the other; then what is known is shown',
  },
  STATUS_FILE: {
    value: 10_000,
    unit: 'ms',
    why: 'a person waits; of a disk that takes longer for a small file `status` says that it does not answer',
  },
  DOCTOR_SERVER: { value: 20_000, unit: 'ms', why: 'a server that is well answers within one second' },
  DOCTOR_AGENTS: {
    value: 20,
    unit: 'times',
    why: 'agents looked at one by one; the names of all roles are fewer',
  },
  DOCTOR_NAMED: {
    value: 3,
    unit: 'times',
    why: 'containers or processes named in one line; a person needs the first',
  },
  DOCTOR_FREE: {
    value: 1_073_741_824,
    unit: 'bytes',
    why: 'one pull of an agent image and some logs from where upgrades are put off',
  },
  DOCTOR_FREE_INODES: {
    value: 20_000,
    unit: 'times',
    why: 'one image of the usual size from where upgrades are put off',
  },
  DOCTOR_POOL_DATA: { value: 80, unit: 'percent', why: 'time to act before upgrades are put off' },
  DOCTOR_POOL_METADATA: {
    value: 70,
    unit: 'percent',
    why: 'the pools of the incident went from half full to dead within hours',
  },
  STATUS_REFRESH: {
    value: 2_000,
    unit: 'ms',
    why: 'status --watch: fast enough for a person, one small list each',
  },
  STATUS_WATCH: {
    value: 28_800_000,
    unit: 'ms',
    why: 'status --watch ends after a working day: docker exec leaves its process behind when its client is killed',
  },
  STATUS_LEAKS: {
    value: 60_000,
    unit: 'ms',
    why: 'status --watch: how often leaked helpers, a list of thousands perhaps, are counted again',
  },
  LEAK_GRACE: {
    value: 10_000,
    unit: 'ms',
    why: 'an honest helper lives for 1 s and is removed within the next; younger ones are not counted',
  },
  LEAK_WINDOW: {
    value: 900_000,
    unit: 'ms',
    why: 'two leaked helpers within this are a leak: a loop leaks every 10–60 s, or every 5 min where the server waits',
  },
  LEAK_SILENCE: {
    value: 60_000,
    unit: 'ms',
    why: 'a loop that has not leaked for so long, and for three of its own pauses, has stopped',
  },
  LEAK_RATE: { value: 3_600_000, unit: 'ms', why: 'the rate is counted over the last hour' },
  RESTART_LOOP: { value: 3, unit: 'times', why: 'Docker restarted it so often: not an accident any more' },
  RESTART_LOOP_WINDOW: {
    value: 600_000,
    unit: 'ms',
    why: 'a container that has been up for longer has got over it',
  },
  CERTIFICATE_DAYS: {
    value: 30,
    unit: 'days',
    why: 'a month leaves time to renew a certificate on a whole fleet',
  },
  CLOCK_SKEW: {
    value: 60_000,
    unit: 'ms',
    why: 'the header has whole seconds; beyond a minute logs, tokens and certificates disagree',
  },
  // ── control plane ─────────────────────────────────────────────────────────
  HTTP_CONNECT: { value: 15_000, unit: 'ms', why: 'as upstream: curl --connect-timeout 15' },
  HTTP_TOTAL: { value: 60_000, unit: 'ms', why: 'a server that accepts and says nothing must not hang us' },
  HTTP_BODY: {
    value: 8_388_608,
    unit: 'bytes',
    why: 'the largest honest answer is a schema list of some 100 kB',
  },
  HTTP_REDIRECTS: { value: 5, unit: 'times', why: 'one hop for a slash or a path is honest; more is a loop' },
  HTTP_TRIES: { value: 3, unit: 'times', why: 'one lost answer is an accident, three are an outage' },
  TLS_VIEW: { value: 10_000, unit: 'ms', why: 'one handshake, to name what is too weak in it' },
  HTTP_RETRY_PAUSE_MIN: {
    value: 500,
    unit: 'ms',
    why: 'first pause before a repeat; the least, too, after Retry-After',
  },
  HTTP_RETRY_PAUSE_MAX: {
    value: 10_000,
    unit: 'ms',
    why: 'longest pause before a request is repeated, whatever Retry-After says; up to a quarter of chance is added to that',
  },
  SERVER_TRIES: { value: 300, unit: 'times', why: 'as upstream: 300 tries, 2 s apart' },
  SERVER_PAUSE: { value: 2_000, unit: 'ms', why: 'as upstream' },
  SERVER_TOTAL: {
    value: 600_000,
    unit: 'ms',
    why: 'upstream waits 10 min for its server; leaves the worker time to act',
  },
  REGISTER_TOTAL: {
    value: 300_000,
    unit: 'ms',
    why: 'as upstream v1.6.30: the server creates an account first',
  },
  REGISTER_ROUNDS: {
    value: 5,
    unit: 'times',
    why: 'how often a registration that vanishes meanwhile is begun anew',
  },
  REGISTER_POLL_MIN: { value: 10, unit: 'ms', why: 'as the python client: the first poll comes at once' },
  REGISTER_POLL_MAX: { value: 2_000, unit: 'ms', why: 'as the python client: polls double up to 2 s' },
  RESOLVE_TOTAL: {
    value: 45_000,
    unit: 'ms',
    why: 'as the python client: a new registration token is active within this',
  },
  EVENT_GAP: {
    value: 600_000,
    unit: 'ms',
    why: 'the audit log of the server gets at most one line per error and 10 min',
  },
  EVENT_POLL: {
    value: 2_000,
    unit: 'ms',
    why: 'a failed state may last only until the next try, some seconds later; one small file is read',
  },
  // ── run ───────────────────────────────────────────────────────────────────
  ...bootstrapLimits,
  HOST_COMMAND: { value: 30_000, unit: 'ms', why: 'mount, modprobe and the like on a loaded host' },
  ROLE_POLL: {
    value: 500,
    unit: 'ms',
    why: 'how soon an agent standing by notices its promotion if the engine does not tell it',
  },
  HOUSEKEEPING: {
    value: 20_000,
    unit: 'ms',
    why: 'how soon the agent removes a worker whose callers were all killed; two small requests',
  },
  WORKER_UNSTARTED: {
    value: 90_000,
    unit: 'ms',
    why: 'a worker not started for longer than START takes at worst was forgotten by its maker',
  },
  HOUSEKEEPING_TURNS: {
    value: 15,
    unit: 'times',
    why: 'every so many turns (5 min) the agent looks for what a killed upgrade left; twice as rare after each find',
  },
  EXEC_PATIENCE: {
    value: 60_000,
    unit: 'ms',
    why: 'CATTLE_EXEC_AGENT: settling, and making the worker of an upgrade, take seconds; a worker goes on by itself',
  },
  CHILD_GRACE: { value: 5_000, unit: 'ms', why: 'docker stop gives us 10 s: half for the bootstrap child' },
  SWEEP_COUNT: {
    value: 50,
    unit: 'times',
    why: 'leaked helpers removed per start: a sick engine must not be flooded',
  },
  SWEEP_AGE: {
    value: 600_000,
    unit: 'ms',
    why: 'an older upgrade may still read its helper; newer servers stop one after 5 min, nobody waits for 10',
  },
  SWEEP_TOTAL: {
    value: 120_000,
    unit: 'ms',
    why: '50 removals at 1–2 s each, as on a sick host; none begins later, the next start goes on',
  },
  SWEEP_FAILURES: {
    value: 3,
    unit: 'times',
    why: 'so many removals in a row that fail are not the containers, it is the storage: leave it in peace',
  },
  ...servingLimits,
  ...logLimits,
  ...cleanupLimits,
} as const satisfies Record<string, LimitRow>;

export type LimitName = keyof typeof table;

/** All limits by name, in the unit the table says. */
export type Limits = Readonly<Record<LimitName, number>>;

/** The table for the help text: name of the variable, default, unit, reason. */
export function describeLimits(): readonly ({ readonly variable: string } & LimitRow)[] {
  return limitNames.map((name) => ({ variable: variableOf(name), ...table[name] }));
}

const limitNames = Object.keys(table) as LimitName[];

/** The environment variable that overrides a limit. */
export function variableOf(name: LimitName): string {
  return `AGENT_LIMIT_${name}`;
}

/** Whether an environment variable overrides a limit. */
export function isLimitVariable(variable: string): boolean {
  return limitNames.some((name) => variableOf(name) === variable);
}

export const defaultLimits: Limits = Object.fromEntries(
  limitNames.map((name) => [name, table[name].value]),
) as Limits;

/** What a timer can hold, in ms (24.8 days): anything longer would fire at once. */
const longestTimer = 2 ** 31 - 1;

/**
 * Reads overrides from the environment.
 * @returns the limits and, for each variable that is not a whole number from 0 to 2147483647, a sentence saying so
 */
export function readLimits(environment: Readonly<Record<string, string | undefined>>): {
  limits: Limits;
  problems: string[];
} {
  const problems: string[] = [];
  const limits = { ...defaultLimits };
  for (const name of limitNames) {
    const text = environment[variableOf(name)];
    if (text === undefined || text === '') continue;
    if (/^\d{1,10}$/.test(text) && Number(text) <= longestTimer) limits[name] = Number(text);
    else
      problems.push(
        `${variableOf(name)} must be a whole number up to ${longestTimer} (${table[name].unit}), not "${text}"`,
      );
  }
  return { limits, problems };
}
