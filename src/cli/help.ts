import { formatDuration } from '../support/deadline.ts';
import { ExitCode } from '../support/errors.ts';
import { describeLimits } from '../support/limits/limits.ts';
import { commandTable, forceFlag, offlineFlag } from './arguments.ts';
import { table } from './wrap.ts';

const environmentTable: readonly (readonly [string, string])[] = [
  ['AGENT_PROFILE', 'rancher-1.0, rancher-1.2 or pasturestack; the image sets it'],
  ['CATTLE_AGENT_IP', 'address of this host as other hosts reach it (IPv4)'],
  ['CATTLE_HOST_LABELS', 'labels of this host, e.g. a=b&c=d'],
  ['CA_FINGERPRINT', "fingerprint of the server's certificate authority"],
  ['CATTLE_URL_OVERRIDE', 'address of the API for the agent, instead of what the server says'],
  ['http_proxy, https_proxy, NO_PROXY', 'the way to the server'],
  ['AGENT_METRICS_FILE', 'path, on the host, of a textfile for node_exporter (better in agent.conf)'],
  [
    'AGENT_REPORT_ERRORS',
    "false: the agent doesn't report degraded and failed states to the server; set it in the image or in agent.conf",
  ],
  ['AGENT_TLS_MIN', 'legacy: accept a server with TLS 1.0 or 1.1, short keys or SHA-1 (also in agent.conf)'],
  ['LOG_FORMAT', 'json for one JSON object a line'],
  ['NO_COLOR', 'no colours, on a terminal either'],
  ['CATTLE_SCRIPT_DEBUG, RANCHER_DEBUG', 'debug log, like --debug'],
  ['DOCKER_API_VERSION', "pins the engine's API, e.g. 1.22"],
  ['RANCHER_AGENT_IMAGE', "this image's name, for when its container can't be inspected"],
];

const exitTable: readonly (readonly [number, string])[] = [
  [ExitCode.ok, 'done, or nothing to do'],
  [ExitCode.noArgument, 'no argument; stopped by SIGTERM or SIGINT'],
  [ExitCode.usage, 'wrong command line'],
  [ExitCode.unavailable, 'the engine or the server is unavailable'],
  [ExitCode.internal, 'a defect of this program'],
  [
    ExitCode.cannotChange,
    'a container could not be created, removed or kept running, or the new agent cannot serve',
  ],
  [
    ExitCode.tryAgainLater,
    'try again later: lock held, work in progress, back-off, storage low, server busy',
  ],
  [ExitCode.notPermitted, 'not permitted: the Docker socket, or keys that the server refuses'],
  [ExitCode.badConfiguration, 'bad configuration: URL, address, fingerprint, variables'],
];

/**
 * The text of `--help`.
 * @param columns of the terminal
 */
export function renderHelp(version: string, columns = 80): string {
  const rows = (of: readonly (readonly [string, string])[]): readonly string[] =>
    table(of, { columns, indent: 2 });
  return [
    `rancher-agent-entrypoint ${version}: keeps exactly one agent on a host`,
    '',
    'usage: docker run … IMAGE COMMAND [--debug]',
    '',
    'commands',
    ...rows([
      ['URL', 'register this host with that URL'],
      ...Object.entries(commandTable),
      ['-- CMD ARG…', 'run that command instead'],
      ['--help, --version', ''],
    ]),
    '',
    'options',
    ...rows([
      ['--debug', 'debug log'],
      [
        forceFlag,
        "URL, register, upgrade: replace an unmanaged container that has the agent's name; it is removed last, like an old agent",
      ],
      [offlineFlag, 'upgrade: promote the new agent without asking the server whether it can serve'],
      ['--dry-run', 'cleanup: list exactly what it would remove, and remove nothing'],
      ['--yes', 'cleanup: do not ask'],
      ['--stop-agent', 'cleanup: stop a legacy agent that leaks, and start it again afterwards'],
    ]),
    '',
    'environment',
    ...rows(environmentTable),
    '',
    'exit status',
    ...rows([
      ...exitTable.map(([code, meaning]) => [String(code), meaning] as const),
      ['0, 1, 2', 'of doctor: healthy, warnings, unhealthy'],
      [
        '0, 73, 75, 77',
        'of ready: ready; a fault of the image; of the connection or the server; of the keys',
      ],
    ]),
    '',
    'limits (environment; the default, and why)',
    ...rows(describeLimits().map((row) => [row.variable, `${renderValue(row.value, row.unit)}: ${row.why}`])),
    '',
  ].join('\n');
}

function renderValue(value: number, unit: string): string {
  return unit === 'ms' ? formatDuration(value) : `${value} ${unit}`;
}
