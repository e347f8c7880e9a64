/**
 * Every cause that a check of the doctor can name; docs/exit-codes.md is rendered from this table, and
 * docs/runbook.md has an answer for each. The causes of a state are in `support/causes.ts`; some are in both tables.
 */
export interface DoctorCauseRow {
  /** How bad it is; two where it depends. */
  readonly levels: readonly ('warning' | 'unhealthy')[];
  readonly meaning: string;
}

const unhealthy = ['unhealthy'] as const;
const warning = ['warning'] as const;

export const doctorCauses = {
  'engine-unavailable': { levels: unhealthy, meaning: 'the engine does not answer, or not in time' },
  'disk-unresponsive': {
    levels: unhealthy,
    meaning: 'the disk of `/var/lib/rancher`, or of the Docker root, does not answer',
  },
  'storage-low': {
    levels: unhealthy,
    meaning: 'the Docker root or the devicemapper pool is full: no upgrade begins',
  },
  'storage-tight': { levels: warning, meaning: 'the Docker root or the devicemapper pool is nearly full' },
  'log-large': { levels: warning, meaning: 'the log of a container has 2 GB or more' },
  'pool-read-only': {
    levels: unhealthy,
    meaning: 'the devicemapper pool is read-only although its metadata is not full, or it needs a check',
  },
  'deferred-off': { levels: warning, meaning: 'devicemapper without deferred removal or deletion' },
  'loopback-pool': { levels: warning, meaning: 'devicemapper on loopback files' },
  'no-agent': { levels: unhealthy, meaning: 'the host has no agent' },
  'agent-stopped': { levels: unhealthy, meaning: 'there is an agent, and it does not run' },
  'agent-hangs': { levels: unhealthy, meaning: 'the engine does not answer about this one container' },
  'role-name-taken': {
    levels: ['unhealthy', 'warning'],
    meaning: "an unmanaged container has one of our names; unhealthy if it is the agent's own",
  },
  'worker-overdue': { levels: unhealthy, meaning: 'a worker runs longer than any worker may' },
  'agent-restarts': { levels: unhealthy, meaning: 'Docker restarts the agent again and again' },
  'two-agents': { levels: unhealthy, meaning: 'more than one agent runs' },
  'left-over': { levels: warning, meaning: 'a container of an upgrade that was not removed yet' },
  'cannot-remove': { levels: warning, meaning: 'the engine could not remove a managed container' },
  'leaking-now': { levels: unhealthy, meaning: 'leaked helpers, and new ones appear' },
  'leaked-before': { levels: warning, meaning: 'leaked helpers, and no new ones' },
  'legacy-entrypoint': {
    levels: warning,
    meaning: 'no leaked helper, but the agent is legacy',
  },
  'others-restart': { levels: warning, meaning: 'an unmanaged container restarts again and again' },
  'mounts-held': {
    levels: warning,
    meaning: 'a process holds mounts of other containers, and on this host that prevents their removal',
  },
  'worker-died': { levels: warning, meaning: 'a stale lock, or a state `working` without a worker' },
  'key-missing': { levels: warning, meaning: 'there is no host key, although there is an agent' },
  'key-damaged': { levels: unhealthy, meaning: 'the file of the host key holds no key' },
  'cloned-machine': {
    levels: warning,
    meaning: 'the host key was kept on another machine: this one may be a copy of it',
  },
  'address-gone': {
    levels: warning,
    meaning: 'no interface of this host has the address in `CATTLE_AGENT_IP`, which is a private one',
  },
  'server-unavailable': { levels: unhealthy, meaning: 'the server does not answer' },
  'server-answer': { levels: warning, meaning: 'something other than a Rancher server answers' },
  'keys-revoked': { levels: unhealthy, meaning: 'the server refuses the agent keys' },
  'server-unreachable': {
    levels: unhealthy,
    meaning: 'the agent runs and does not serve: it gets no live answer',
  },
  'bootstrap-not-running': {
    levels: unhealthy,
    meaning: 'the agent runs and does not serve: no bootstrap runs',
  },
  'bootstrap-fails': {
    levels: unhealthy,
    meaning: "the agent runs and does not serve: the server's script exits with an error again and again",
  },
  'no-bash': {
    levels: unhealthy,
    meaning: 'the agent runs and does not serve: its image has no bash for the script',
  },
  'no-room-for-bootstrap': {
    levels: unhealthy,
    meaning: 'the agent runs and does not serve: there is no room to write the script',
  },
  'serving-unknown': {
    levels: warning,
    meaning: 'nobody observes the bootstrap, for example with `CATTLE_EXEC_AGENT`',
  },
  'agent-not-connected': {
    levels: unhealthy,
    meaning: 'the bootstrap has run for 3 min and holds no connection to the server',
  },
  'certificate-expired': {
    levels: ['unhealthy', 'warning'],
    meaning:
      'a certificate of the server or in `ca.crt` has expired; unhealthy if it is that of the server and the server cannot be reached',
  },
  'certificate-expires': {
    levels: warning,
    meaning: 'a certificate of the server or in `ca.crt` expires within 30 days',
  },
  'tls-legacy': { levels: warning, meaning: '`AGENT_TLS_MIN=legacy` is set' },
  'plain-http': {
    levels: ['warning', 'unhealthy'],
    meaning:
      'the server is reached by plain http; unhealthy with `AGENT_REQUIRE_HTTPS=true`: the agent then runs no bootstrap',
  },
  'other-server': {
    levels: unhealthy,
    meaning: "the agent's keys are for another server than the one that this host belongs to",
  },
  'clock-skew': { levels: warning, meaning: "the host's clock and the server's differ by a minute or more" },
  'status-damaged': { levels: warning, meaning: 'the status file cannot be read' },
} as const satisfies Record<string, DoctorCauseRow>;

export type DoctorCause = keyof typeof doctorCauses;
