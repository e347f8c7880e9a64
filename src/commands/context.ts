import type { HostSettings } from '../agent/host.ts';
import { namesOf, readNames } from '../agent/identity/roles.ts';
import { selectProfile } from '../agent/identity/profile.ts';
import type { EngineOptions } from '../engine/reads.ts';
import type { ContainerDetails, Engine, EngineInfo } from '../engine/engine.ts';
import type { WhenRefused } from '../engine/transport.ts';
import { diskHint } from '../host/errors.ts';
import { systemClock } from '../support/clock.ts';
import {
  imagesAllowedVariable,
  remarksOn,
  type Configuration,
  type Environment,
} from '../support/configuration.ts';
import { ConfigurationError } from '../support/errors.ts';
import { readLimits } from '../support/limits/limits.ts';
import { networkVariables, readEngineAddress } from '../support/socket-path.ts';
import { addEnvironmentSecrets } from '../support/secrets.ts';
import type { Keyboard, Terminal } from '../support/terminal.ts';

/** What every command gets from `main`. The signal is aborted with an InterruptedError by SIGTERM and SIGINT. */
export interface Context extends HostSettings {
  readonly version: string;
  /** Which command this is, for the engine's log and the status file. */
  readonly command: string;
  /** Writes to stdout or stderr as it is. */
  readonly write: (chunk: string | Buffer, stream: 'stdout' | 'stderr') => void;
  /** What is behind stdout. */
  readonly terminal: Terminal;
  /** What is behind stdin. */
  readonly keyboard: Keyboard;
}

/** A context from what `main` read. */
export function createContext(
  basis: Omit<Context, 'profile' | 'names' | 'clock'> & Partial<Pick<Context, 'clock'>>,
): Context {
  const profile = selectProfile(basis.configuration.profile, basis.configuration.environment);
  return { clock: systemClock, ...basis, profile, names: namesOf(profile) };
}

/**
 * The context of an agent's `run`, with the names that its container was created with: they are not in its environment
 * (contract §4), and what it has done, its successor included, must have the same ones.
 */
export function adoptNames(context: Context, own: ContainerDetails | undefined): Context {
  const environment = { ...readNames(own?.labels ?? {}), ...context.configuration.environment };
  return createContext({ ...context, configuration: { ...context.configuration, environment } });
}

/** Refuses to start on variables that cannot be understood, and logs which look odd. @throws ConfigurationError */
export function requireSoundConfiguration({
  configuration,
  log,
}: Pick<Context, 'configuration' | 'log'>): void {
  for (const remark of remarksOn(configuration.environment)) log.warn(remark);
  if (configuration.problems.length === 0) return;
  throw new ConfigurationError(configuration.problems.join('; '), { hint: 'correct or unset them' });
}

/** A command of a person is refused where `DOCKER_HOST` names anything but a socket. @throws ConfigurationError */
export function requireThisEngine(context: Context): Context {
  const { engineProblem } = context.configuration;
  if (engineProblem === undefined) return context;
  throw new ConfigurationError(engineProblem, {
    hint: 'unset DOCKER_HOST, and mount the socket: -v /var/run/docker.sock:/var/run/docker.sock',
  });
}

/**
 * An agent or a worker goes on with the socket: the variable is in the base image or in `agent.conf`, and an agent that exits
 * would only be started again. Its children do not get the variable either.
 */
export function ignoreOtherEngines(context: Context): Context {
  const { configuration, log } = context;
  if (configuration.engineProblem === undefined) return context;
  log.warn(`${configuration.engineProblem}: it is ignored`, { socket: configuration.socketPath });
  return { ...context, configuration: { ...configuration, environment: withoutNetwork(configuration) } };
}

function withoutNetwork({ environment }: Pick<Configuration, 'environment'>): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !networkVariables.includes(name)));
}

/**
 * What stands in `agent.conf` of the host counts like the environment, and before it (contract §5: read at every
 * start). The file cannot change what a caller has passed to its worker. Which images are allowed is not taken from here: the
 * worker reads it from the file again, so that no copy of it outlives the line.
 */
export async function withAgentConf(context: Context): Promise<Context> {
  const { configuration, log, secrets } = context;
  const { readAgentConf } = await import('../control-plane/agent-conf.ts');
  // Loads `crypto`, which `inspect-host` does without.
  const { workerVariables } = await import('../agent/worker/request.ts');
  const reading = readAgentConf(`${configuration.paths.rancher}/etc/agent.conf`);
  const { variables, problems } = await tellingIfSilent(context, reading);
  const remarks = remarksOn({ AGENT_PROFILE: configuration.profile, ...variables });
  for (const problem of [...problems, ...remarks]) log.warn(`agent.conf: ${problem}`);
  addEnvironmentSecrets(secrets, variables);
  const { problem: otherEngine } = readEngineAddress(variables['DOCKER_HOST']);
  if (otherEngine !== undefined) log.warn(`agent.conf: ${otherEngine}: it is ignored`);
  const apart = new Set<string>([
    ...Object.values(workerVariables),
    imagesAllowedVariable,
    ...(otherEngine === undefined ? [] : networkVariables),
  ]);
  const settings = Object.entries(variables).filter(([name]) => !apart.has(name));
  const environment: Environment = { ...configuration.environment, ...Object.fromEntries(settings) };
  const { limits, problems: wrongLimits } = readLimits(environment);
  for (const problem of wrongLimits) log.warn(`agent.conf: ${problem}; the default counts`);
  return { ...context, configuration: { ...configuration, environment, limits } };
}

/** Without the disk nothing can be done but to wait; the log says what for. */
async function tellingIfSilent<T>({ configuration, log }: Context, reading: Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    log.error('the disk of /var/lib/rancher does not answer; nothing is done before it does', {
      hint: diskHint('that disk'),
    });
  }, configuration.limits.HOST_FILE);
  try {
    return await reading;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Connects to the engine.
 * @param signal stops the calls in progress; the worker and `run` pass none, because they stop at a safe point
 */
export async function openEngine(
  context: Context,
  signal?: AbortSignal,
  keepsConnections = false,
): Promise<Engine> {
  const { connectEngine } = await import('../engine/docker-engine.ts');
  return connectEngine({ ...engineOptions(context, signal), keepsConnections });
}

/** Asks the engine for its info alone. @param signal stops that */
export async function askEngineInfo(context: Context, signal: AbortSignal): Promise<EngineInfo> {
  const { readEngineInfo } = await import('../engine/engine-info.ts');
  return readEngineInfo(engineOptions(context, signal));
}

/** A daemon with live-restore is restarted, and this container goes on with the socket that it had before. */
export function whenRefusedIn({ paths, socketPath }: Configuration): WhenRefused {
  return async () => {
    const { findReplacedSocket } = await import('../host/replaced-socket.ts');
    return findReplacedSocket(paths, socketPath);
  };
}

function engineOptions(context: Context, signal: AbortSignal | undefined): EngineOptions {
  const { configuration, log, version, command, clock } = context;
  return {
    socketPath: configuration.socketPath,
    whenRefused: whenRefusedIn(configuration),
    apiVersion: configuration.apiVersion,
    userAgent: `rancher-agent-entrypoint/${version} (${command})`,
    limits: configuration.limits,
    log,
    clock,
    ...(signal === undefined ? {} : { signal }),
  };
}
