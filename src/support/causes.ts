/**
 * Every cause that a state of the host can have: in `status.json`, in the log and in the agent's record. The types of errors and
 * outcomes allow no other, and docs/exit-codes.md is rendered from this table. Only
 * its types are imported by the program: the sentences stay out of the bundle.
 */
export interface StateCauseRow {
  /** The states that it comes with, and the exit status of the worker; none where it never is the cause of a state. */
  readonly ends: readonly {
    readonly state: 'deferred' | 'degraded' | 'failed';
    readonly exit: string;
    readonly meaning: string;
  }[];
}

const stateCauseTable = {
  'next-does-not-run': failed(
    73,
    'the process of the next agent exited again and again while it had to prove that it can serve',
  ),
  'next-removed': deferred(75, 'somebody removed the next agent while it had to prove that it can serve'),
  'next-stopped': deferred(
    75,
    'a person, a program or the kernel (out of memory) stopped, restarted or killed the next agent while it had to prove that it can serve',
  ),
  'no-active-agent': failed(
    73,
    'a legacy agent is active and idle, because its server requires an image that cannot serve',
  ),
  'requirement-withdrawn': deferred(
    75,
    'the server requires the image of the legacy agent again; the upgrade was dropped',
  ),
  'download-fails': deferred(
    75,
    'the bootstrap of the new agent failed, and the server does not send the old one its parts either: rolled back',
  ),
  'agent-does-not-run': failed(
    73,
    'the new agent exited or restarted while its bootstrap was watched: rolled back',
  ),
  'bootstrap-fails': {
    ends: [
      ...failed(
        73,
        'the bootstrap of the new agent exited three times in a row with an error while the server answered: rolled back',
      ).ends,
      ...degraded(
        73,
        'the bootstrap of the active agent exited three times in a row with an error while the server answered',
      ).ends,
    ],
  },
  'keys-revoked': failed(77, 'the server refused the agent keys twice, 30 s apart'),
  'keys-refused': degraded(73, 'the server refused the agent keys once; not confirmed yet'),
  'server-unreachable': degraded(73, 'the server gives the agent no live answer'),
  'no-script': degraded(73, 'the server sends something other than the bootstrap script'),
  'script-not-whole': degraded(73, 'the server sends a bootstrap script that is cut off'),
  'script-not-understood': degraded(
    73,
    'the script sets `REQUIRED_IMAGE` in an unknown way, so it is not run',
  ),
  'bootstrap-not-running': degraded(73, 'no bootstrap runs, and none has failed'),
  'bootstrap-not-run': degraded(73, 'an unexpected error prevented the start of the bootstrap'),
  'no-bash': failed(73, 'the script cannot be run: there is no bash in the image'),
  'no-room-for-bootstrap': failed(73, 'the script cannot be written: no space'),
  'serving-unknown': degraded(
    0,
    'nobody observes whether the agent serves: a legacy or earlier image, `CATTLE_EXEC_AGENT`, `--offline`',
  ),
  'agent-not-connected': degraded(
    73,
    'the bootstrap has run for 3 min and holds no connection to the server: whether the agent serves is unknown',
  ),
  'socket-dead': degraded(
    73,
    "the engine's socket in the agent's container is dead; a restart of the container repairs it",
  ),
  'resolver-changed': degraded(
    73,
    "the host's resolv.conf has changed; a restart of the agent's container repairs it",
  ),
  'cannot-remove': degraded(
    73,
    'the upgrade is complete, and a container cannot be removed; `unremovable` names it',
  ),
  'cannot-change': failed(
    73,
    'a container could not be created, started, renamed or stopped, or did not stay up; an image cannot be pulled',
  ),
  'role-name-taken': failed(
    73,
    "an unmanaged container has the agent's name, or unmanaged containers have all names of another role",
  ),
  'storage-low': deferred(75, 'the Docker root or the devicemapper pool is full'),
  'disk-unresponsive': deferred(75, 'the disk of `/var/lib/rancher`, or of the Docker root, does not answer'),
  'flapping-requirement': deferred(75, 'two servers require different images alternately'),
  'try-again-later': deferred(
    75,
    "another command holds the lock, or the worker's time is up, or a worker is hung",
  ),
  interrupted: deferred('130, 143', 'a signal stopped the work at a safe point'),
  'server-unavailable': failed(69, 'a registration could not reach the server'),
  'engine-unavailable': failed(69, 'the engine does not answer'),
  'engine-error': failed(69, 'the engine refused a request'),
  'other-server': failed(
    78,
    'the agent keys that were found are for another server than the one that this host belongs to',
  ),
  'not-permitted': failed(
    77,
    "access to the engine's socket is denied, or the server refuses the registration token",
  ),
  'image-not-allowed': failed(
    77,
    '`AGENT_IMAGES_ALLOWED` of this host does not allow the image; nothing was touched',
  ),
  'bad-configuration': failed(
    78,
    'a wrong URL, address, fingerprint or variable; or `upgrade` finds no agent on the host',
  ),
  'host-folder-unwritable': failed(73, '`/var/lib/rancher` cannot be written'),
  'inspection-failed': failed(73, 'the host could not be inspected; nothing was touched'),
  internal: failed(70, 'a defect of this program'),
  /** A wrong command line begins no work. */
  usage: { ends: [] },
  /** An agent that has just started changes no state. */
  starting: { ends: [] },
} as const satisfies Record<string, StateCauseRow>;

/** What the checks of a next agent find; with whose fault it is. */
export const readyCauses = {
  'ready-programs-missing': ['image', "a program that the server's script always calls is not in the image"],
  'ready-WHO-dns': ['way', 'the name of the server cannot be resolved'],
  'ready-WHO-connection': ['way', 'no connection to the server is possible'],
  'ready-WHO-proxy': ['way', 'the proxy refuses, or is not reached'],
  'ready-WHO-tls': ['way', 'the certificate is not trusted, or TLS fails'],
  'ready-WHO-refused': ['way', 'the answer has status 403, 3xx or another 4xx'],
  'ready-WHO-page': ['way', 'something sends a page instead of the answer'],
  'ready-WHO-busy': ['server', 'the answer has status 429 or 5xx'],
  'ready-WHO-no-answer': [
    'server',
    'the request was sent, to a proxy if there is one, and there was no answer',
  ],
  'ready-curl-broken': ['image', "the image's curl cannot be run"],
  'ready-keys-revoked': ['keys', 'the API answers 401 or 404 for the keys'],
  'ready-script-page': ['way', 'the server sent something other than the script'],
  'ready-script-not-whole': ['way', "the script is cut off, or the image's bash cannot read it"],
  'ready-script-no-bash': ['image', 'the image has no bash that works'],
  'ready-script-no-room': ['image', 'the script cannot be written'],
  'ready-no-answer': ['server', 'the next agent has reported nothing in time'],
} as const;

/** What was asked for, and by whom: our client, the image's curl, our client with the keys, our client for the script. */
type Asking = 'server' | 'curl' | 'keys' | 'script';
type Replace<Name extends string> = Name extends `${infer Head}WHO${infer Tail}`
  ? `${Head}${Asking}${Tail}`
  : Name;
export type ReadyCause = Replace<keyof typeof readyCauses>;

export type StateCause = keyof typeof stateCauseTable | ReadyCause;

export const stateCauses: Readonly<Record<string, StateCauseRow>> = stateCauseTable;

function failed(exit: number, meaning: string): StateCauseRow {
  return { ends: [{ state: 'failed', exit: String(exit), meaning }] };
}

function degraded(exit: number, meaning: string): StateCauseRow {
  return { ends: [{ state: 'degraded', exit: String(exit), meaning }] };
}

function deferred(exit: number | string, meaning: string): StateCauseRow {
  return { ends: [{ state: 'deferred', exit: String(exit), meaning }] };
}
