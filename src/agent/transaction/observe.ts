import { isDead } from '../../engine/containers.ts';
import type {
  ContainerDetails,
  ContainerMount,
  ContainerState,
  ContainerSummary,
  Engine,
} from '../../engine/engine.ts';
import type { Environment } from '../../support/configuration.ts';
import { claimsToBeManaged, isManaged } from '../identity/managed.ts';
import { checksReadiness, labels, canStandBy, type RoleNames } from '../identity/roles.ts';

/** A container in one of our roles, with the facts that decisions need. */
export interface Observed {
  readonly id: string;
  readonly name: string;
  readonly image: string;
  readonly imageId: string;
  /** Digest of what it was created from; undefined for legacy agents. */
  readonly digest: string | undefined;
  readonly state: ContainerState;
  /** Milliseconds since 1970; undefined if it never ran. */
  readonly startedAt: number | undefined;
  readonly restartCount: number;
  /** Which of its starts this is; see `startOf`. */
  readonly start?: string;
  /**
   * Created by this entrypoint, or a legacy agent: see `isManaged`. A dead container that the engine cannot inspect only
   * claims it: it may be removed, and has no environment that could be believed.
   */
  readonly managed: boolean;
  /** An unmanaged container that may be replaced (`--force`); its keys are never used. */
  readonly adopted?: true;
  /** Marked for removal but still there: it cannot be started again. */
  readonly isDead: boolean;
  /**
   * Its removal has begun, and a reboot does not start it again. Every agent gets the policy `always` before it is parked.
   * So if the policy of a parked agent is off, its removal has begun. An engine that cannot change policies (1.22) never
   * shows that.
   */
  readonly removalStarted: boolean;
  /** `always`, `no`, …; empty where the engine does not say, or cannot change it (1.22). */
  readonly restartPolicy?: string;
  /** Process id in the host's pid namespace; 0 while it does not run. */
  readonly pid?: number;
  /** Its `run` proves on standby that it can serve, and keeps a record of its serving. */
  readonly checksReadiness?: boolean;
  /** Milliseconds since 1970; undefined if the engine does not say. */
  readonly createdAt?: number | undefined;
  /** Created from a hardened image (a container has the labels of its image): it works only when it is active. */
  readonly canStandBy: boolean;
  readonly environment: Environment;
  /** Host folders and volumes, as they were asked for: `source:target`. */
  readonly binds: readonly string[];
  /** What it sees where, the volumes of a state container included. */
  readonly mounts?: readonly ContainerMount[];
  /** Entrypoint and arguments. */
  readonly command?: readonly string[];
  /** Its image's and its own. */
  readonly labels?: Readonly<Record<string, string>>;
  /** Names of its own storage layers, as they appear in mounts; empty where the engine does not say. */
  readonly layers?: readonly string[];
}

/** Who has which role on this host at one moment. */
export interface Observation {
  readonly agent: Observed | undefined;
  readonly legacy: readonly Observed[];
  /** The managed container with a name of the next agent that can serve; a dead one if there is no other. */
  readonly next: Observed | undefined;
  /** One entry per name of the next agent, in the order of the names. */
  readonly nexts: readonly (Observed | undefined)[];
  /** One entry per parking name, in the order of the names. */
  readonly previous: readonly (Observed | undefined)[];
  /** Milliseconds since 1970, by the same clock as `startedAt`. */
  readonly now: number;
}

/**
 * Observes the host: one filtered list, and one inspection per container in it. If the list has a container and the
 * inspection does not find it, the container is gone. But if the list says `Dead`, it is a dead container on an old engine
 * (engine-notes §3: 404 does not prove that there is none).
 *
 * @param adopted of `--force`: ids of unmanaged containers that count as old agents; one with the agent's name is added, and
 * stays one when it is parked. Nobody asks for the removal of others
 */
export async function observeRoles(
  engine: Engine,
  names: RoleNames,
  now: () => number,
  adopted?: Set<string>,
): Promise<Observation> {
  const roleNames = [names.agent, ...names.legacyAgents, ...names.nexts, ...names.previous];
  const listed = await engine.listContainers({ names: roleNames });
  const observed = new Map<string, Observed>();
  const policies = readPolicies(engine, names);
  // All at once: between the stop of the old agent and the promotion of the next one, no agent runs while this waits.
  const looks = listed.map(async (summary) => ({
    summary,
    details: await engine.inspectContainer(summary.id),
  }));
  for (const { summary, details } of await Promise.all(looks)) {
    const found = details === undefined ? fromDead(summary) : fromDetails(details, policies);
    if (found === undefined) continue;
    if (!found.managed && found.name === names.agent) adopted?.add(found.id);
    observed.set(summary.name, adopted?.has(found.id) === true ? asOldAgent(found) : found);
  }
  return {
    agent: observed.get(names.agent),
    legacy: names.legacyAgents.map((name) => observed.get(name)).filter((found) => found !== undefined),
    ...chooseNext(names.nexts.map((name) => observed.get(name))),
    previous: names.previous.map((name) => observed.get(name)),
    now: now(),
  };
}

/** The next agent is the first managed one that can serve; if none can, a dead one keeps the role. */
export function chooseNext(nexts: readonly (Observed | undefined)[]): Pick<Observation, 'next' | 'nexts'> {
  const managed = nexts.filter((observed) => observed?.managed === true);
  return { next: managed.find((observed) => observed?.isDead === false) ?? managed[0], nexts };
}

type Policy = Required<Pick<Observed, 'removalStarted' | 'restartPolicy'>>;

/** What a restart policy shows: nothing if the engine cannot change it; for an active agent, what a person wants. */
function readPolicies(
  { features }: Pick<Engine, 'features'>,
  names: RoleNames,
): (details: ContainerDetails) => Policy {
  const active = [names.agent, ...names.legacyAgents];
  return ({ name, restartPolicy }) =>
    features.restartUpdate
      ? { restartPolicy, removalStarted: restartPolicy === 'no' && !active.includes(name) }
      : { restartPolicy: '', removalStarted: false };
}

function fromDetails(details: ContainerDetails, policyOf: (details: ContainerDetails) => Policy): Observed {
  return {
    id: details.id,
    name: details.name,
    image: details.image,
    imageId: details.imageId,
    digest: details.labels[labels.spec],
    state: details.state,
    startedAt: details.startedAt,
    restartCount: details.restartCount,
    start: startOf(details),
    managed: isManaged(details),
    isDead: isDead(details),
    ...policyOf(details),
    pid: details.pid ?? 0,
    createdAt: details.createdAt,
    canStandBy: canStandBy(details.labels),
    checksReadiness: checksReadiness(details.labels),
    environment: details.environment,
    binds: details.binds,
    mounts: details.mounts ?? [],
    layers: details.layers ?? [],
    command: details.command,
    labels: details.labels,
  };
}

/** Tells the starts of a container apart, by the engine's own words, whatever the host's clock does. */
export function startOf({
  startedAt,
  restartCount,
}: Pick<ContainerDetails, 'startedAt' | 'restartCount'>): string {
  return `${startedAt ?? 0}/${restartCount}`;
}

function fromDead(summary: ContainerSummary): Observed | undefined {
  if (!isDead(summary)) return undefined;
  return {
    id: summary.id,
    name: summary.name,
    image: summary.image,
    imageId: summary.imageId,
    digest: summary.labels[labels.spec],
    state: summary.state,
    startedAt: undefined,
    restartCount: 0,
    managed: claimsToBeManaged(summary),
    isDead: true,
    removalStarted: false,
    canStandBy: canStandBy(summary.labels),
    environment: {},
    binds: [],
  };
}

function asOldAgent(found: Observed): Observed {
  return found.managed ? found : { ...found, managed: true, adopted: true };
}

/** Every container of an observation, the agent first. */
export function everyone(observation: Observation): readonly Observed[] {
  const { agent, legacy, nexts, previous } = observation;
  return [agent, ...legacy, ...nexts, ...previous].filter((observed) => observed !== undefined);
}

/** Old agents that could serve again: parked, or under a legacy name. */
export function oldAgents(observation: Observation): readonly Observed[] {
  return [...observation.previous, ...observation.legacy].filter(
    (observed): observed is Observed => observed !== undefined && !observed.isDead,
  );
}

/**
 * The environment with the agent keys: that of the agent, else of a parked agent, else of the next agent. Dead containers
 * are read last: an agent with keys from a dead container is better than none. An unmanaged container has no agent keys.
 */
export function findKeyHolder(observation: Observation): Observed | undefined {
  const candidates = [
    observation.agent,
    ...oldAgents(observation),
    observation.next,
    ...observation.nexts,
    ...observation.previous,
  ].filter((observed): observed is Observed => observed?.managed === true && observed.adopted !== true);
  const holders = candidates.filter((observed) => hasKeys(observed.environment));
  return holders.find((observed) => !observed.isDead) ?? holders[0] ?? candidates.find(hasAnyEnvironment);
}

function hasKeys(environment: Environment): boolean {
  return Boolean(environment['CATTLE_ACCESS_KEY']) && Boolean(environment['CATTLE_SECRET_KEY']);
}

function hasAnyEnvironment(observed: Observed): boolean {
  return Object.keys(observed.environment).length > 0;
}
