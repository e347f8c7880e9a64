import type {
  ContainerDetails,
  ContainerMount,
  ContainerSpec,
  Engine,
  EngineInfo,
} from '../../engine/engine.ts';
import { daemonLogHint, isEngineError, isWorthRetrying } from '../../engine/errors.ts';
import { CannotChangeError } from '../../support/errors.ts';
import { doubling, retry } from '../../support/retry.ts';
import type { Host } from '../host.ts';
import { isManaged, isManagedState } from '../identity/managed.ts';
import { allNamesTaken } from '../identity/role-name-taken.ts';
import { labels, type RoleNames } from '../identity/roles.ts';

/*
 * Profile `rancher-1.0` keeps the agent's state in the volumes of a container that does nothing else, and mounts them from
 * there (contract §1, §4). It is created once, before the first agent, and never started, replaced or removed. After a kill,
 * the next worker finds it under its fixed name.
 */

export interface StateIngredients {
  /** The image of the agent. */
  readonly image: string;
  /** Whether `/var/lib/rancher/state` can be created on the host. */
  readonly varLibWritable: boolean;
}

const cattleFolder = '/var/lib/cattle';
const rancherFolder = '/var/lib/rancher';

/**
 * The state container, created if it is missing. If the engine fails or restarts meanwhile, this tries again. Each try
 * inspects first, because the answer to the previous one may have been lost.
 * @throws RoleNameTakenError when unmanaged containers have all its names; CannotChangeError when it cannot be created;
 * EngineUnavailableError
 */
export async function ensureStateContainer(
  host: Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log' | 'signal'>,
  ingredients: StateIngredients,
): Promise<ContainerDetails> {
  const { limits, clock, log, signal, names } = host;
  const policy = {
    what: 'create the state container',
    tries: limits.STATE_TRIES,
    pause: doubling(limits.STATE_PAUSE_MIN, limits.STATE_PAUSE_MAX),
    worthRetrying: isWorthRetrying,
    clock,
    log,
    signal,
  };
  try {
    return await retry(policy, async () => findOrMake(host, ingredients));
  } catch (error) {
    if (!isEngineError(error)) throw error;
    throw new CannotChangeError("the container that holds the agent's state cannot be created", {
      originalMessage: error.originalMessage,
      hint: `docker ps -a --filter name=${names.states[0] ?? ''}; ${daemonLogHint}`,
      cause: error,
    });
  }
}

async function findOrMake(
  { engine, names, log }: Pick<Host, 'engine' | 'names' | 'log'>,
  ingredients: StateIngredients,
): Promise<ContainerDetails> {
  const { present, freeName, unmanaged } = await lookForState(engine, names);
  for (const other of unmanaged) log.warn(`${other.name} is not the state container: it is left alone`);
  if (present !== undefined) return present;
  if (freeName === undefined) throw allNamesTaken('create the state container', unmanaged);
  const agent = await engine.inspectContainer(names.agent);
  const before = agent !== undefined && isManaged(agent) ? agent.mounts : [];
  log.info(`creating ${freeName}`);
  const id = await engine.createContainer(freeName, buildStateSpec(ingredients, before));
  const created = await engine.inspectContainer(id);
  if (created !== undefined) return created;
  throw new CannotChangeError(`the container ${freeName} was created, but is not there any more`, {
    hint: 'another program or person on this host removed it',
  });
}

/**
 * The state container, if there is one.
 * @throws RoleNameTakenError when there is none, and unmanaged containers have all its names
 */
export async function findStateContainer(
  engine: Pick<Engine, 'inspectContainer' | 'inspectImage'>,
  names: Pick<RoleNames, 'states'>,
): Promise<ContainerDetails | undefined> {
  if (names.states.length === 0) return undefined;
  const { present, freeName, unmanaged } = await lookForState(engine, names);
  if (present !== undefined || freeName !== undefined) return present;
  throw allNamesTaken('create the state container', unmanaged);
}

/** Who has which name of the state container; the agent would get the volumes of `present`. */
async function lookForState(
  engine: Pick<Engine, 'inspectContainer' | 'inspectImage'>,
  names: Pick<RoleNames, 'states'>,
): Promise<{
  readonly present: ContainerDetails | undefined;
  readonly freeName: string | undefined;
  readonly unmanaged: readonly ContainerDetails[];
}> {
  const unmanaged: ContainerDetails[] = [];
  let freeName: string | undefined;
  for (const name of names.states) {
    const found = await engine.inspectContainer(name);
    if (found === undefined) freeName ??= name;
    else if (isManagedState(found, await engine.inspectImage(found.imageId)))
      return { present: found, freeName, unmanaged };
    else unmanaged.push(found);
  }
  return { present: undefined, freeName, unmanaged };
}

/**
 * What the state container is created from.
 * @param before what the active agent sees: volumes that a lost state container left behind (`docker container prune`
 * removes it) are used again; otherwise the agent would lose what it keeps there
 */
export function buildStateSpec(
  { image, varLibWritable }: StateIngredients,
  before: readonly ContainerMount[] = [],
): ContainerSpec {
  const kept = (target: string): string | undefined =>
    before.find((mount) => mount.target === target)?.volume;
  const cattle = kept(cattleFolder);
  const rancher = kept(rancherFolder) ?? (varLibWritable ? rancherFolder : undefined);
  return {
    image,
    command: ['state'],
    environment: {},
    labels: { [labels.role]: 'state' },
    restart: 'no',
    autoRemove: false,
    privileged: false,
    hostNetwork: false,
    hostPid: false,
    binds: [
      '/var/log/rancher:/var/log/rancher',
      ...(rancher === undefined ? [] : [`${rancher}:${rancherFolder}`]),
      ...(cattle === undefined ? [] : [`${cattle}:${cattleFolder}`]),
    ],
    anonymousVolumes: [
      ...(cattle === undefined ? [cattleFolder] : []),
      ...(rancher === undefined ? [rancherFolder] : []),
    ],
  };
}

/**
 * The Docker root as the agent needs it: three levels above the state container's volume (contract §4), which is where the
 * volumes really are. If a person has put the volume elsewhere, it shows nothing; then the Docker root that the engine
 * reports counts.
 */
export function dockerRootOf(state: ContainerDetails, info: Pick<EngineInfo, 'rootDirectory'>): string {
  const source = state.mounts?.find(({ target }) => target === cattleFolder)?.source ?? '';
  const root = /^(\/.+)\/(?:volumes\/[^/]+\/_data|vfs\/dir\/[^/]+)$/.exec(source)?.[1];
  return root ?? info.rootDirectory;
}
