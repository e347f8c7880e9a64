import { isLimitVariable, readLimits, type Limits } from './limits/limits.ts';
import { pathsBelow, type Paths } from './paths.ts';
import { readEngineAddress } from './socket-path.ts';

export { pathsBelow, type Paths };

/** The families of images this entrypoint serves (contract §1). */
export const profileNames = ['rancher-1.0', 'rancher-1.2', 'pasturestack'] as const;
export type ProfileName = (typeof profileNames)[number];

/** Path, on the host, of a textfile for Prometheus' node_exporter; in `agent.conf` or the environment. */
export const metricsVariable = 'AGENT_METRICS_FILE';

/**
 * `legacy`: accept servers whose TLS is too weak for today (TLS 1.0 and 1.1, short RSA keys, SHA-1); in `agent.conf` or
 * the environment.
 */
export const tlsMinVariable = 'AGENT_TLS_MIN';

/** The images that an agent may be created from; in `agent.conf`, or in the environment of the agent or of a command. */
export const imagesAllowedVariable = 'AGENT_IMAGES_ALLOWED';

/** How strong the TLS of the server must be at least. */
export type TlsFloor = 'modern' | 'legacy';

/**
 * `ca.crt`: only the authority in `ca.crt`, or the one with the fingerprint, is trusted; in `agent.conf` or the
 * environment.
 */
export const tlsTrustVariable = 'AGENT_TLS_TRUST';

/** Whose certificates of the server count: those of every well-known authority as well, or only of that in `ca.crt`. */
export type TlsTrust = 'all' | 'ca.crt';

/**
 * `true`: nothing is sent to a server by plain http; `false`: plain http is accepted without a warning; in `agent.conf` or the
 * environment.
 */
export const requireHttpsVariable = 'AGENT_REQUIRE_HTTPS';

/** What a person wants about plain http. */
export type HttpsRule = 'required' | 'accepted' | 'unset';

/** What the agent needs to reach its server at all, or is held to there: passed on from agent to agent. */
export const transportVariables = [tlsMinVariable, tlsTrustVariable, requireHttpsVariable] as const;

/** An environment as a process or container has it. */
export type Environment = Readonly<Record<string, string>>;

/**
 * Everything read from the environment, once, at start. The raw environment is kept as well: registration and `run`
 * pass parts of it on to containers and children by name.
 */
export interface Configuration {
  readonly profile: ProfileName;
  readonly debug: boolean;
  readonly logFormat: 'text' | 'json';
  /** False where colours are not wanted: `NO_COLOR` (no-color.org) or a terminal that has none. */
  readonly colour: boolean;
  readonly limits: Limits;
  /** Path of the engine's socket inside this container. */
  readonly socketPath: string;
  /** A sentence about a `DOCKER_HOST` that is no socket: people are refused, an agent goes on without it. */
  readonly engineProblem?: string;
  /** `DOCKER_API_VERSION`: pins the engine's API, e.g. `1.22`. */
  readonly apiVersion: string | undefined;
  /** `RANCHER_AGENT_IMAGE`: our image, for when our own container cannot be found. */
  readonly ownImage: string | undefined;
  /** Docker sets it to the first twelve digits of the container's id, unless the container shares the host's name. */
  readonly hostname: string;
  /** Folders on the host, as this process sees them; overridable for tests. */
  readonly paths: Paths;
  readonly environment: Environment;
  /** Sentences about variables that could not be understood. */
  readonly problems: readonly string[];
}

/**
 * Reads and checks the environment. Never throws: what cannot be understood stands in `problems`, and commands that
 * matter refuse to start on any.
 */
export function readConfiguration(raw: NodeJS.ProcessEnv, hostname: string): Configuration {
  const environment = definedOf(raw);
  const { limits, problems } = readLimits(environment);
  const { profile, problem } = readProfile(environment['AGENT_PROFILE']);
  const api = readApiVersion(nonEmpty(environment['DOCKER_API_VERSION']));
  const engine = readEngineAddress(environment['DOCKER_HOST']);
  return {
    profile,
    debug: isOn(environment['CATTLE_SCRIPT_DEBUG']) || isOn(environment['RANCHER_DEBUG']),
    logFormat: environment['LOG_FORMAT'] === 'json' ? 'json' : 'text',
    colour: nonEmpty(environment['NO_COLOR']) === undefined && environment['TERM'] !== 'dumb',
    limits,
    socketPath: engine.socketPath,
    ...(engine.problem === undefined ? {} : { engineProblem: engine.problem }),
    apiVersion: api.version,
    ownImage: nonEmpty(environment['RANCHER_AGENT_IMAGE']),
    hostname,
    paths: pathsBelow('/var/lib/rancher'),
    environment,
    problems: [...problems, problem, api.problem].filter((each) => each !== undefined),
  };
}

/**
 * Sentences about variables that are taken as they are, and are probably not what somebody meant. No reason to stop an
 * agent: some may be meant for another program.
 */
export function remarksOn(environment: Environment): readonly string[] {
  const format = nonEmpty(environment['LOG_FORMAT']);
  const tlsMin = nonEmpty(environment[tlsMinVariable]);
  const tlsTrust = nonEmpty(environment[tlsTrustVariable]);
  const requireHttps = nonEmpty(environment[requireHttpsVariable]);
  const unlabelled = (environment['CATTLE_HOST_LABELS'] ?? '')
    .split('&')
    .filter((label) => label !== '' && !/^[^=]+=/.test(label));
  return [
    ...(format === undefined || ['text', 'json'].includes(format)
      ? []
      : [`LOG_FORMAT is text or json, not "${format}": text is used`]),
    ...(tlsMin === undefined || tlsMin === 'legacy'
      ? []
      : [`${tlsMinVariable} is "legacy" or not set, not "${tlsMin}": it changes nothing`]),
    ...(tlsTrust === undefined || tlsTrust === 'all' || tlsTrust === 'ca.crt'
      ? []
      : [`${tlsTrustVariable} is all or ca.crt, not "${tlsTrust}": it counts as ca.crt, the stricter one`]),
    ...(requireHttps === undefined || isOnPattern.test(requireHttps) || isOffPattern.test(requireHttps)
      ? []
      : [`${requireHttpsVariable} is true or false, not "${requireHttps}": it counts as true`]),
    ...Object.keys(environment)
      .filter((name) => name.startsWith('AGENT_LIMIT_') && !isLimitVariable(name))
      .map((name) => `there is no limit ${name}: it changes nothing; those that there are: … IMAGE --help`),
    ...unlabelled.map((label) => `CATTLE_HOST_LABELS: "${label}" is no label; they look like a=b&c=d`),
    ...remarksOnPastureStack(environment),
  ];
}

/** Settings of PastureStack's own client (control-plane §8), which this program has under other names. */
const platformVariables: Readonly<Record<string, string>> = {
  PLATFORM_URL: 'CATTLE_URL',
  ACCESS_KEY: 'CATTLE_ACCESS_KEY',
  SECRET_KEY: 'CATTLE_SECRET_KEY',
};

/** A person who has set them expects an effect. */
function remarksOnPastureStack(environment: Environment): readonly string[] {
  const isSet = (name: string): boolean => nonEmpty(environment[name]) !== undefined;
  const knobs = Object.keys(environment).filter(
    (name) => /^RC16_(AGENT|BOOTSTRAP)_/.test(name) && isSet(name),
  );
  const others = environment['AGENT_PROFILE'] === 'pasturestack' ? Object.entries(platformVariables) : [];
  return [
    ...knobs.map(
      (name) => `${name} is not read here: the limits of this program are AGENT_LIMIT_…, see … IMAGE --help`,
    ),
    ...others.filter(([name]) => isSet(name)).map(([name, ours]) => `${name} is not read here: set ${ours}`),
  ];
}

/** What `AGENT_TLS_MIN` asks for; a value that is not known changes nothing, and `remarksOn` names it. */
export function readTlsFloor(environment: Environment): TlsFloor {
  return environment[tlsMinVariable] === 'legacy' ? 'legacy' : 'modern';
}

/** What `AGENT_TLS_TRUST` asks for. A value that is not known counts as the stricter one, and `remarksOn` names it. */
export function readTlsTrust(environment: Environment): TlsTrust {
  const text = nonEmpty(environment[tlsTrustVariable]);
  return text === undefined || text === 'all' ? 'all' : 'ca.crt';
}

/** What `AGENT_REQUIRE_HTTPS` asks for. A value that is not known counts as `true`, and `remarksOn` names it. */
export function readHttpsRule(environment: Environment): HttpsRule {
  const text = nonEmpty(environment[requireHttpsVariable]);
  if (text === undefined) return 'unset';
  return isOffPattern.test(text) ? 'accepted' : 'required';
}

const isOnPattern = /^(true|yes|on|1)$/i;
const isOffPattern = /^(false|no|off|0)$/i;

/** `AGENT_REPORT_ERRORS`: whether errors are reported to the server; they are unless it says no. */
export function reportsErrors(environment: Environment): boolean {
  return !isOffPattern.test(environment['AGENT_REPORT_ERRORS'] ?? '');
}

/**
 * Splits `NAME=value` entries of `Config.Env`; a bare `NAME`, which some engines keep, carries nothing and is left
 * out.
 */
export function parseEnvironmentList(entries: readonly string[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const entry of entries) {
    const equals = entry.indexOf('=');
    if (equals > 0) environment[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  return environment;
}

/** Docker's client takes `1.24` alone; people type the `v` of the paths as well. */
function readApiVersion(text: string | undefined): { version: string | undefined; problem?: string } {
  const version = text === undefined ? undefined : /^v?(1\.\d{1,3})$/.exec(text)?.[1];
  if (text === undefined || version !== undefined) return { version };
  return { version, problem: `DOCKER_API_VERSION must be a version such as 1.24, not "${text}"` };
}

function readProfile(text: string | undefined): { profile: ProfileName; problem?: string } {
  if (text === undefined || text === '') return { profile: 'rancher-1.2' };
  const profile = profileNames.find((name) => name === text);
  if (profile !== undefined) return { profile };
  return {
    profile: 'rancher-1.2',
    problem: `AGENT_PROFILE must be one of ${profileNames.join(', ')}, not "${text}"`,
  };
}

function isOn(text: string | undefined): boolean {
  return text !== undefined && text !== '' && text !== 'false' && text !== '0';
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}

function definedOf(raw: NodeJS.ProcessEnv): Environment {
  return Object.fromEntries(
    Object.entries(raw).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
