import { createHash } from 'node:crypto';
import type { ContainerDetails, ContainerSpec } from '../../engine/engine.ts';
import type { Environment } from '../../support/configuration.ts';
import { askers, type Asker } from '../../host/files/status.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import { usualSocket } from '../../support/socket-path.ts';
import { labels } from '../identity/roles.ts';

/** The tasks of a worker. */
export const workerTasks = ['register', 'upgrade', 'reconcile', 'inspect-host'] as const;
export type WorkerTask = (typeof workerTasks)[number];

export interface WorkerRequest {
  readonly task: WorkerTask;
  /** The image that the worker itself is created from: that of its caller. */
  readonly workerImage: string;
  /** The environment that it needs, with keys and tokens: these are never in arguments or labels. */
  readonly environment: Environment;
  /** Where the engine's socket is on the host, if not in the usual place (`hostSocketOf`). */
  readonly hostSocket?: string;
}

/** Names of the variables that a caller sets for its worker. */
export const workerVariables = {
  /** The image that the agent is to be created from. */
  targetImage: 'AGENT_TARGET_IMAGE',
  /** The URL of a registration, which contains a token. */
  registrationUrl: 'AGENT_REGISTRATION_URL',
  /** `/var/lib/rancher` is a volume, because the host's own folder cannot be created. */
  stateOnVolume: 'AGENT_STATE_ON_VOLUME',
  /** `true`: an unmanaged container that has the agent's name is replaced (`--force`). */
  force: 'AGENT_FORCE',
  /** Id of the caller's container: the work never touches it. */
  caller: 'AGENT_CALLER',
  /** Who asked: see `Asker`. */
  askedBy: 'AGENT_ASKED_BY',
  /** `true`: the server is not asked (`upgrade --offline`). */
  offline: 'AGENT_OFFLINE',
  /** Origin of the server that the keys belong to, as a person says it (`upgrade --server`). */
  server: 'AGENT_SERVER',
} as const;

/** Reads who asked; a person if the variable is not set. */
export function readAsker(environment: Environment): Asker {
  const asked = environment[workerVariables.askedBy];
  return askers.find((asker) => asker === asked) ?? 'person';
}

/** Settings of this entrypoint itself; none of them is a secret. */
const ownSettings =
  /^(AGENT_|PASTURESTACK_|LEGACY_|LOG_FORMAT$|DOCKER_API_VERSION$|DOCKER_CONFIG$|CATTLE_SCRIPT_DEBUG$|RANCHER_DEBUG$|RANCHER_AGENT_IMAGE$|HOST_DOCKER_SOCK$)/;

/** What a registration also needs: the host's settings, keys, and the way to the server. */
const registrationSettings =
  /^(CATTLE_|RANCHER_|CA_FINGERPRINT$|(https?|all)_proxy$|(HTTPS?|ALL)_PROXY$|no_proxy$|NO_PROXY$)/;

/** The part of the caller's environment that a worker needs for its task: only a registration gets keys. */
export function selectWorkerEnvironment(environment: Environment, task: WorkerTask): Environment {
  const isNeeded = (name: string): boolean =>
    ownSettings.test(name) || (task === 'register' && registrationSettings.test(name));
  return Object.fromEntries(Object.entries(environment).filter(([name]) => isNeeded(name)));
}

/** Digest of a request, without its caller: two callers with the same digest want the same work and share its result. */
export function digestOfRequest(request: WorkerRequest): string {
  const entries = Object.entries(request.environment)
    .filter(([name]) => name !== workerVariables.caller && name !== workerVariables.askedBy)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256')
    .update(JSON.stringify([request.task, request.workerImage, entries]))
    .digest('hex')
    .slice(0, 32);
}

/**
 * The worker's container. It sees the host through its pid namespace (`/proc/1/root`) and `/var/lib/rancher`. It mounts no
 * folder above that, so that it holds no mounts of other containers (invariant 6).
 *
 * @param stateVolume mounted as `/var/lib/rancher` if the host's own folder cannot be created
 */
export function buildWorkerSpec(request: WorkerRequest, stateVolume?: string): ContainerSpec {
  return {
    image: request.workerImage,
    command: ['worker', request.task],
    environment: {
      ...request.environment,
      // Its image may name another one.
      DOCKER_HOST: `unix://${usualSocket}`,
      ...(stateVolume === undefined ? {} : { [workerVariables.stateOnVolume]: 'true' }),
    },
    labels: { [labels.role]: 'worker', [labels.request]: digestOfRequest(request) },
    restart: 'no',
    autoRemove: true,
    privileged: true,
    memoryBytes: fixedLimits.WORKER_MEMORY,
    pidsLimit: fixedLimits.WORKER_PIDS,
    // Also for an upgrade: it asks the server as the agent will, and one on localhost is reached from nowhere else.
    hostNetwork: true,
    hostPid: true,
    binds: [
      `${request.hostSocket ?? usualSocket}:${usualSocket}`,
      `${stateVolume ?? '/var/lib/rancher'}:/var/lib/rancher`,
    ],
  };
}

/**
 * What a worker learns about its caller. A command that was typed inside the agent's own container (`docker exec`) does not
 * name that container: it is to be replaced, and the worker survives that.
 *
 * @param own the container in which the caller runs
 */
export function describeCaller(
  own: Pick<ContainerDetails, 'id' | 'name' | 'command'> | undefined,
  { force, offline = false, server, upgradeNames }: CallerWords,
): Environment {
  const isAgent = own?.command.at(-1) === 'run';
  const isServersScript = own !== undefined && upgradeNames.includes(own.name);
  return {
    ...(own === undefined || isAgent ? {} : { [workerVariables.caller]: own.id }),
    ...(isServersScript ? { [workerVariables.askedBy]: 'server' } : {}),
    ...(force ? { [workerVariables.force]: 'true' } : {}),
    ...(offline ? { [workerVariables.offline]: 'true' } : {}),
    ...(server === undefined ? {} : { [workerVariables.server]: server }),
  };
}

export interface CallerWords {
  readonly force: boolean;
  readonly offline?: boolean;
  /** Origin of the server that a person names with `--server`. */
  readonly server?: string | undefined;
  /** The names under which the server's script creates its upgrade container. */
  readonly upgradeNames: readonly string[];
}

/** What a worker has learnt from its caller about the containers that it may touch. */
export interface Ownership {
  /** Whether an unmanaged container with the agent's name is replaced like an old agent. */
  readonly adopt: boolean;
  /** Ids of the containers in which the worker and its caller run. */
  readonly own: readonly string[];
}

/** @param container id of the worker's own container, if the worker runs in one */
export function readOwnership(environment: Environment, container: string | undefined): Ownership {
  const own = [container, environment[workerVariables.caller]];
  return {
    adopt: environment[workerVariables.force] === 'true',
    own: own.filter((id): id is string => id !== undefined && id !== ''),
  };
}
