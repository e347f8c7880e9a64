import type { Engine } from '../../engine/engine.ts';
import type { Environment, ProfileName } from '../../support/configuration.ts';

/**
 * What differs between the profiles of agent images (contract §1 and §4). A profile is data; the image says which one
 * it is (`AGENT_PROFILE`), nobody guesses.
 */
export interface Profile {
  readonly name: ProfileName;
  /** Name of the agent's container; what the server's script looks for. */
  readonly agentName: string;
  /** Names under which an agent of an older profile may run; it is replaced as well. */
  readonly legacyAgentNames: readonly string[];
  /** Names of the container that the server's script creates to have the agent upgraded. */
  readonly upgradeNames: readonly string[];
  /** Volume on `/var/lib/cattle`; the first one that exists, else the first. Empty: a state container holds it. */
  readonly stateVolumes: readonly string[];
  readonly passedEnvironment: readonly string[];
  readonly oomScoreAdjust: number | undefined;
  readonly hostCgroupNamespace: boolean;
  /** Name of the container that holds the state volumes, for the profile that has one. */
  readonly stateContainerName: string | undefined;
  /** The address under which the server saw us becomes `CATTLE_AGENT_IP` (v1.0.x only). */
  readonly exportsDetectedIp: boolean;
  /** The variables that override names, as far as they are set. */
  readonly overrides: Environment;
}

/** Variables that override a name (contract §1). */
const overridingVariables = [
  'PASTURESTACK_AGENT_CONTAINER_NAME',
  'PASTURESTACK_AGENT_UPGRADE_CONTAINER_NAME',
  'PASTURESTACK_AGENT_STATE_VOLUME',
  'LEGACY_AGENT_CONTAINER_NAME',
  'LEGACY_AGENT_UPGRADE_CONTAINER_NAME',
  'LEGACY_AGENT_STATE_VOLUME',
] as const;

const environmentOf10 = [
  'http_proxy',
  'https_proxy',
  'NO_PROXY',
  'no_proxy',
  'CATTLE_PHYSICAL_HOST_UUID',
  'CATTLE_SCRIPT_DEBUG',
  'CATTLE_ACCESS_KEY',
  'CATTLE_SECRET_KEY',
  'CATTLE_AGENT_IP',
  'CATTLE_HOST_API_PROXY',
  'CATTLE_URL',
  'CATTLE_HOST_LABELS',
  'CATTLE_VOLMGR_ENABLED',
  'CATTLE_RUN_FIO',
  'CATTLE_SYSTEMD',
  'HOST_DOCKER_SOCK',
] as const;

const environmentOf12 = [
  'http_proxy',
  'HTTP_PROXY',
  'https_proxy',
  'HTTPS_PROXY',
  'NO_PROXY',
  'no_proxy',
  'CATTLE_SCHEDULER_IPS',
  'CATTLE_SCHEDULER_REQUIRE_ANY',
  'CATTLE_PHYSICAL_HOST_UUID',
  'CATTLE_DOCKER_UUID',
  'CATTLE_SCRIPT_DEBUG',
  'CATTLE_ACCESS_KEY',
  'CATTLE_SECRET_KEY',
  'CATTLE_AGENT_IP',
  'CATTLE_HOST_API_PROXY',
  'CATTLE_URL',
  'CATTLE_HOST_LABELS',
  'CATTLE_VOLMGR_ENABLED',
  'CATTLE_RUN_FIO',
  'CATTLE_MEMORY_OVERRIDE',
  'CATTLE_MILLI_CPU_OVERRIDE',
  'CATTLE_LOCAL_STORAGE_MB_OVERRIDE',
  'CATTLE_DETECT_CLOUD_PROVIDER',
  'CATTLE_CHECK_NAMESERVER',
  'RANCHER_DEBUG',
] as const;

const rancher12: Profile = {
  name: 'rancher-1.2',
  agentName: 'rancher-agent',
  legacyAgentNames: [],
  upgradeNames: ['rancher-agent-upgrade'],
  stateVolumes: ['rancher-agent-state'],
  passedEnvironment: environmentOf12,
  oomScoreAdjust: -500,
  hostCgroupNamespace: false,
  stateContainerName: undefined,
  exportsDetectedIp: false,
  overrides: {},
};

const profiles: Readonly<Record<ProfileName, Profile>> = {
  'rancher-1.0': {
    ...rancher12,
    name: 'rancher-1.0',
    stateVolumes: [],
    passedEnvironment: environmentOf10,
    oomScoreAdjust: undefined,
    stateContainerName: 'rancher-agent-state',
    exportsDetectedIp: true,
  },
  'rancher-1.2': rancher12,
  pasturestack: {
    ...rancher12,
    name: 'pasturestack',
    agentName: 'pasturestack-node-agent',
    legacyAgentNames: ['rancher-agent'],
    upgradeNames: ['pasturestack-node-agent-upgrade', 'rancher-agent-upgrade'],
    stateVolumes: ['pasturestack-node-agent-state', 'rancher-agent-state'],
    hostCgroupNamespace: true,
  },
};

/** The profile of that name, with the names that the environment overrides (contract §1). */
export function selectProfile(name: ProfileName, environment: Environment): Profile {
  const profile = profiles[name];
  const overrides = selectOverrides(environment);
  const agentName = overrides['PASTURESTACK_AGENT_CONTAINER_NAME'] ?? profile.agentName;
  const legacyAgent = overrides['LEGACY_AGENT_CONTAINER_NAME'];
  const legacyAgentNames = legacyAgent === undefined ? profile.legacyAgentNames : [legacyAgent];
  return {
    ...profile,
    agentName,
    legacyAgentNames: legacyAgentNames.filter((legacy) => legacy !== agentName),
    upgradeNames: replaceNames(
      profile.upgradeNames,
      overrides['PASTURESTACK_AGENT_UPGRADE_CONTAINER_NAME'],
      overrides['LEGACY_AGENT_UPGRADE_CONTAINER_NAME'],
    ),
    stateVolumes: replaceNames(
      profile.stateVolumes,
      overrides['PASTURESTACK_AGENT_STATE_VOLUME'],
      overrides['LEGACY_AGENT_STATE_VOLUME'],
    ),
    overrides,
  };
}

/** The part of an environment that overrides names; what is set to nothing overrides nothing. */
export function selectOverrides(environment: Environment): Environment {
  return Object.fromEntries(
    overridingVariables.flatMap((variable) => {
      const value = environment[variable];
      return value === undefined || value === '' ? [] : [[variable, value]];
    }),
  );
}

/** The state volume in use: the first of the profile's names that exists, else the first (contract §1). */
export async function chooseStateVolume(
  engine: Pick<Engine, 'hasVolume'>,
  profile: Profile,
): Promise<string> {
  const [first = 'rancher-agent-state', ...others] = profile.stateVolumes;
  if (others.length === 0 || (await engine.hasVolume(first))) return first;
  for (const volume of others) {
    if (await engine.hasVolume(volume)) return volume;
  }
  return first;
}

function replaceNames(
  names: readonly string[],
  first: string | undefined,
  second: string | undefined,
): readonly string[] {
  const replaced = [first ?? names[0], second ?? names[1]].filter((name) => name !== undefined);
  return [...new Set(replaced)];
}
