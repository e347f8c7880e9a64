/**
 * Every environment variable that this program reads. The help and docs/configuration.md are rendered from this table; a test
 * finds the ones that are read in `src` and are not here. Limits have a table of their own (support/limits).
 */
export interface VariableRow {
  /** One row may name variables that mean the same. */
  readonly names: readonly string[];
  /** For a person who sets it: what it does, in one sentence. */
  readonly text: string;
  /** What counts where it is not set; left out where nothing does. */
  readonly without?: string;
  /** What only the page has room for. */
  readonly more?: string;
}

export interface VariableGroup {
  readonly title: string;
  /** Where the variables of this group are set. */
  readonly where: string;
  /** In `--help` as well; the others are on the page alone. */
  readonly inHelp: boolean;
  readonly rows: readonly VariableRow[];
}

const registration: VariableGroup = {
  title: 'Registration and the connection to the server',
  where:
    "On the command line of a registration (`docker run -e NAME=VALUE …`). An upgrade passes on what the server's agent needs.",
  inHelp: true,
  rows: [
    { names: ['CATTLE_AGENT_IP'], text: 'address of this host as other hosts reach it (IPv4)' },
    { names: ['CATTLE_HOST_LABELS'], text: 'labels of this host, e.g. a=b&c=d' },
    {
      names: ['CA_FINGERPRINT'],
      text: "fingerprint of the server's certificate authority",
      more: 'SHA-1 as the server shows it, in either case, with or without colons; or SHA-256.',
    },
    {
      names: ['CATTLE_URL_OVERRIDE'],
      text: 'address of the API for the agent, instead of the one that the server names',
    },
    { names: ['RANCHER_URL'], text: 'the registration URL for the command register' },
    {
      names: ['CATTLE_ACCESS_KEY', 'CATTLE_SECRET_KEY'],
      text: 'keys for the API of a server with access control, if the URL has no registration token',
      more:
        'In the container of an agent, these are the agent keys. If you give agent keys with a registration URL, the agent uses ' +
        'them, and the host is not registered. The keys of an account are ignored there, with a warning.',
    },
    {
      names: ['http_proxy', 'https_proxy', 'all_proxy', 'NO_PROXY'],
      text: 'proxy for the server, in lower or upper case',
      more:
        '`NO_PROXY` takes names, suffixes, ports and CIDR ranges. `socks5://` works. A registration warns of entries that ' +
        'the curl of the bootstrap understands differently.',
    },
    {
      names: ['AGENT_TLS_MIN'],
      text: 'legacy: accept a server with TLS 1.0 or 1.1, short keys or SHA-1 (also in agent.conf)',
      without: 'TLS 1.2',
    },
    {
      names: ['AGENT_TLS_TRUST'],
      text: 'ca.crt: trust the certificate in ca.crt or with CA_FINGERPRINT alone, and no well-known authority (also in agent.conf)',
      without: 'all',
      more:
        'This applies to every request of this program, also for the bootstrap script, and to an https proxy. With ' +
        '`CA_FINGERPRINT`, the program always fetches the certificate and compares it. Without `ca.crt` and without a ' +
        'fingerprint, it trusts nothing. It does not apply to what the script downloads: the `curl` of the image and the agent ' +
        'of the server get `ca.crt` by `CURL_CA_BUNDLE` and `REQUESTS_CA_BUNDLE`, but a `curl` of Debian or Ubuntu also trusts ' +
        'the authorities in `/etc/ssl/certs` of the image. If that matters, build the image without them.',
    },
    {
      names: ['AGENT_REQUIRE_HTTPS'],
      text: 'true: send nothing to the server by plain http; false: accept plain http without a warning (also in agent.conf)',
      without: 'plain http works, with a warning',
      more:
        'With `true`, a registration by plain http exits with 78. An agent whose server has a plain http address runs no ' +
        'bootstrap, and its state says so. The agent keeps the value that its registration had.',
    },
  ],
};

const agent: VariableGroup = {
  title: 'The agent',
  where:
    'In the image, or in `/var/lib/rancher/etc/agent.conf` on the host, as a line `export NAME=VALUE`. That file overrides ' +
    'the environment.',
  inHelp: true,
  rows: [
    {
      names: ['AGENT_METRICS_FILE'],
      text: 'path, on the host, of a textfile for node_exporter (better in agent.conf)',
      more: 'See [monitoring](monitoring.md#prometheus).',
    },
    {
      names: ['AGENT_IMAGES_ALLOWED'],
      text: 'images that the agent may be created from: digests and prefixes, with commas between them; better in agent.conf',
      without: 'every image',
      more:
        '`registry.corp/rancher/` allows everything below that path, `registry.corp/rancher/agent` also an image of that name, ' +
        '`registry.corp/rancher/agent:v1` that tag alone, `sha256:…` an image with that digest or id. See ' +
        '[building](building.md#only-signed-images-on-a-host).',
    },
    {
      names: ['AGENT_REPORT_ERRORS'],
      text: 'false: the agent does not report degraded and failed states to the server; set it in the image or in agent.conf',
      without: 'true',
    },
    {
      names: ['CATTLE_EXEC_AGENT'],
      text: "true: the server's script replaces the agent's run; whether the agent serves is then unknown",
      without: 'false',
    },
  ],
};

const engine: VariableGroup = {
  title: 'The engine and the images',
  where: 'On the command line, or in the image.',
  inHelp: true,
  rows: [
    {
      names: ['DOCKER_HOST'],
      text: 'unix:///PATH: the socket inside this container; no other kind of address',
      without: 'unix:///var/run/docker.sock',
      more:
        'The path may be in a mounted folder. A command with another kind of address exits with 78. The agent ignores ' +
        'such an address in its image or in `agent.conf`, with a warning.',
    },
    {
      names: ['DOCKER_API_VERSION'],
      text: "pins the engine's API, e.g. 1.22",
      more: 'If the engine does not accept that version, the program uses the nearest one that it accepts.',
    },
    {
      names: ['DOCKER_CONFIG'],
      text: 'folder, as the worker sees it, of the config.json with logins for private registries',
      without: '~/.docker',
      more:
        'It must be below `/var/lib/rancher`, which the worker has mounted, and be named in `agent.conf`, ' +
        'so that every upgrade finds it.',
    },
    {
      names: ['HOST_DOCKER_SOCK'],
      text: "profile rancher-1.0: where the engine's socket is on the host, if not where this container's socket is from",
    },
    {
      names: ['RANCHER_AGENT_IMAGE'],
      text: "this image's name, for when its container cannot be inspected; the image sets it",
    },
    {
      names: ['AGENT_PROFILE'],
      text: 'rancher-1.0, rancher-1.2 or pasturestack; the image sets it',
      without: 'rancher-1.2',
    },
  ],
};

const names: VariableGroup = {
  title: 'Other names',
  where:
    'On the command line. The agent remembers them in labels of its container; a person who upgrades it must set them again.',
  inHelp: true,
  rows: [
    {
      names: ['PASTURESTACK_AGENT_CONTAINER_NAME', 'LEGACY_AGENT_CONTAINER_NAME'],
      text: "name of the agent's container, and of the container that it replaces",
    },
    {
      names: ['PASTURESTACK_AGENT_UPGRADE_CONTAINER_NAME', 'LEGACY_AGENT_UPGRADE_CONTAINER_NAME'],
      text: "names of the container that the server's script creates for an upgrade",
    },
    {
      names: ['PASTURESTACK_AGENT_STATE_VOLUME', 'LEGACY_AGENT_STATE_VOLUME'],
      text: 'names of the state volume: the first one that exists counts',
    },
  ],
};

const output: VariableGroup = {
  title: 'Output',
  where: 'On the command line, or in the image. A worker gets those of its caller.',
  inHelp: true,
  rows: [
    { names: ['LOG_FORMAT'], text: 'json for one JSON object a line', without: 'text' },
    { names: ['NO_COLOR'], text: 'no colours, not even on a terminal', more: '`TERM=dumb` does the same.' },
    { names: ['CATTLE_SCRIPT_DEBUG', 'RANCHER_DEBUG'], text: 'debug log, like --debug', without: 'false' },
  ],
};

const passed: VariableGroup = {
  title: 'Passed on to the agent',
  where:
    'On the command line of a registration. This program passes them on, and the agent of the server reads them. ' +
    'Profile `rancher-1.0` has fewer of them.',
  inHelp: false,
  rows: [
    {
      names: ['CATTLE_PHYSICAL_HOST_UUID', 'CATTLE_DOCKER_UUID'],
      text: 'identifiers of the host; the agent uses them instead of those in its files',
    },
    {
      names: ['CATTLE_URL'],
      text: 'address of the API; also in agent.conf, to follow a server that has moved',
    },
    {
      names: ['CATTLE_SCHEDULER_IPS', 'CATTLE_SCHEDULER_REQUIRE_ANY'],
      text: 'what the scheduler may place here',
    },
    {
      names: ['CATTLE_MEMORY_OVERRIDE', 'CATTLE_MILLI_CPU_OVERRIDE', 'CATTLE_LOCAL_STORAGE_MB_OVERRIDE'],
      text: 'resources that the host reports, instead of the measured ones',
    },
    { names: ['CATTLE_HOST_API_PROXY'], text: "address of the server's proxy for the host API" },
    {
      names: ['CATTLE_VOLMGR_ENABLED', 'CATTLE_RUN_FIO'],
      text: 'volume manager and disk benchmark of old agents',
    },
    { names: ['CATTLE_DETECT_CLOUD_PROVIDER'], text: 'whether the agent asks the cloud for its region' },
    {
      names: ['CATTLE_CHECK_NAMESERVER'],
      text: 'false: a loopback name server in resolv.conf does not stop the agent',
    },
    {
      names: ['CATTLE_SYSTEMD'],
      text: 'profile rancher-1.0: systemd runs on the host (set by the inspection)',
    },
    {
      names: ['CATTLE_HOME', 'CATTLE_STAMP_FILE', 'PASTURESTACK_HOME'],
      text: "where the server's agent is installed; this program looks there to recognise its exits by design",
      without: '/var/lib/cattle',
    },
    {
      names: ['CATTLE_CONFIG_URL', 'CATTLE_STORAGE_URL'],
      text: "addresses for the server's script",
      without: 'CATTLE_URL',
    },
  ],
};

const internal: VariableGroup = {
  title: 'Set by this program for its worker',
  where: 'Not for people: a caller sets them in the environment of the worker that it creates.',
  inHelp: false,
  rows: [
    {
      names: ['AGENT_TARGET_IMAGE', 'AGENT_REGISTRATION_URL', 'AGENT_STATE_ON_VOLUME', 'AGENT_FORCE'],
      text: 'what is asked for',
    },
    {
      names: ['AGENT_CALLER', 'AGENT_ASKED_BY', 'AGENT_OFFLINE', 'AGENT_SERVER'],
      text: 'who asks, and with which options',
    },
  ],
};

export const variableGroups: readonly VariableGroup[] = [
  registration,
  agent,
  engine,
  names,
  output,
  passed,
  internal,
];

/** Rows for the help: what a person may set. */
export function helpRows(): readonly (readonly [string, string])[] {
  return variableGroups
    .filter(({ inHelp }) => inHelp)
    .flatMap(({ rows }) => rows.map((row) => [row.names.join(', '), withDefault(row)] as const));
}

function withDefault({ text, without }: VariableRow): string {
  return without === undefined ? text : `${text} (default: ${without})`;
}
