import { createHash } from 'node:crypto';
import type { ContainerSpec, LogSettings } from '../../engine/engine.ts';
import { imagesAllowedVariable, transportVariables, type Environment } from '../../support/configuration.ts';
import { fixedLimits } from '../../support/limits/fixed.ts';
import type { Profile } from './profile.ts';
import { labels } from './roles.ts';

export interface AgentIngredients {
  readonly profile: Profile;
  /** As the server or person named it: what people and legacy scripts see. */
  readonly targetImage: string;
  readonly imageId: string;
  /** Where the allowed names are taken from: the old container's environment, or the registration's. */
  readonly environment: Environment;
  /** Whether `/var/lib/rancher/state` can be created on the host (contract §2). */
  readonly varLibWritable: boolean;
  /** Name of the state volume in use. */
  readonly stateVolume: string;
  /** For `rancher-1.0`: the name of the state container in use. */
  readonly stateContainer?: string;
  /** For `rancher-1.0`: the Docker root, bound onto itself, and whether the host runs systemd. */
  readonly dockerRoot?: string;
  readonly systemd?: boolean;
  /** Where the engine's socket is on the host: `hostSocketOf`. */
  readonly hostSocket: string;
  /** What a container gets that asks for nothing, as far as it is known: the engine's own log settings. */
  readonly usualLogging?: LogSettings | undefined;
}

/** What the agent's container is created from (contract §4), field by field. */
export function buildAgentSpec(ingredients: AgentIngredients): ContainerSpec {
  const { profile } = ingredients;
  const spec: ContainerSpec = {
    image: ingredients.targetImage,
    command: ['run'],
    environment: buildAgentEnvironment(profile, withHostFacts(ingredients)),
    labels: {},
    restart: 'always',
    autoRemove: false,
    privileged: true,
    hostNetwork: true,
    hostPid: true,
    ...(profile.oomScoreAdjust === undefined ? {} : { oomScoreAdjust: profile.oomScoreAdjust }),
    binds: profile.stateContainerName === undefined ? bindsOf12(ingredients) : bindsOf10(ingredients),
    ...(profile.stateContainerName === undefined
      ? {}
      : { volumesFrom: [ingredients.stateContainer ?? profile.stateContainerName] }),
    ...(profile.hostCgroupNamespace ? { hostCgroupNamespace: true } : {}),
  };
  // The image counts by its id, not by its name: behind a mirror, with a digest or another tag of the very same image
  // there is nothing to replace. The server's script would compare the names, but an agent from that image never runs
  // that branch: its `run` blanks it (incident §2.8).
  const digest = digestOf({ ...spec, image: '' }, ingredients.imageId);
  // Names that were overridden are not passed in the environment (contract §4), and the agent's own `run` needs them.
  const isNamed = Object.keys(profile.overrides).length > 0;
  const logging = limitLog(ingredients.usualLogging);
  return {
    ...spec,
    // Not in the digest: no agent is replaced because of its log.
    ...(logging === undefined ? {} : { logging }),
    labels: {
      [labels.role]: 'agent',
      [labels.spec]: digest,
      ...(isNamed ? { [labels.names]: JSON.stringify(profile.overrides) } : {}),
    },
  };
}

/**
 * A json-file log has no end unless somebody sets one, and an agent lives for years: it filled disks (engine-notes §9). Any
 * other driver, and a size that a person has set for the engine, is left as it is.
 */
function limitLog(usual: LogSettings | undefined): LogSettings | undefined {
  if (usual?.driver !== 'json-file' || 'max-size' in usual.options) return undefined;
  const { AGENT_LOG_SIZE, AGENT_LOG_FILES } = fixedLimits;
  return {
    driver: usual.driver,
    options: { 'max-size': String(AGENT_LOG_SIZE), 'max-file': String(AGENT_LOG_FILES), ...usual.options },
  };
}

/** What the legacy entrypoint's helper found out about the host, and its caller exported (contract §2). */
function withHostFacts({ profile, environment, systemd }: AgentIngredients): Environment {
  const isAsked = profile.passedEnvironment.includes('CATTLE_SYSTEMD') && systemd !== undefined;
  return isAsked ? { ...environment, CATTLE_SYSTEMD: String(systemd) } : environment;
}

/**
 * The allowed names that are set, the settings of the way to the server, `AGENT_IMAGES_ALLOWED`, `CATTLE_AGENT_PIDNS`, and
 * `NO_PROXY` copied to `no_proxy`.
 */
export function buildAgentEnvironment(profile: Profile, environment: Environment): Environment {
  const passed: Record<string, string> = { CATTLE_AGENT_PIDNS: 'host' };
  for (const name of profile.passedEnvironment) {
    const value = environment[name];
    if (value !== undefined) passed[name] = value;
  }
  // What the server needs to be reached at all, or is held to, goes along; elsewhere than in agent.conf it would be lost.
  for (const name of transportVariables) {
    const value = environment[name];
    if (value !== undefined && value !== '') passed[name] = value;
  }
  // An upgrade must not lift the limit to some images. An empty value goes along too: it allows none.
  const allowed = environment[imagesAllowedVariable];
  if (allowed !== undefined) passed[imagesAllowedVariable] = allowed;
  const noProxy = passed['NO_PROXY'];
  if (noProxy !== undefined && noProxy !== '') passed['no_proxy'] = noProxy;
  return passed;
}

function bindsOf12(ingredients: AgentIngredients): readonly string[] {
  return [
    `${ingredients.hostSocket}:/var/run/docker.sock`,
    '/var/run/rancher/storage:/var/run/rancher/storage',
    '/lib/modules:/lib/modules:ro',
    '/proc:/host/proc',
    '/dev:/host/dev',
    'rancher-cni:/.r',
    `${ingredients.stateVolume}:/var/lib/cattle`,
    `${ingredients.varLibWritable ? '/var/lib/rancher' : ingredients.stateVolume}:/var/lib/rancher`,
  ];
}

function bindsOf10(ingredients: AgentIngredients): readonly string[] {
  const root = ingredients.dockerRoot ?? '/var/lib/docker';
  return [
    `${ingredients.hostSocket}:/var/run/docker.sock`,
    '/lib/modules:/lib/modules:ro',
    `${root}:${root}`,
    '/proc:/host/proc',
    '/dev:/host/dev',
  ];
}

/**
 * A digest over everything a container is created from. The keys go in as well: a new registration must replace an agent
 * that differs in nothing else. Nothing can be read back from it.
 */
export function digestOf(spec: object, imageId: string): string {
  return createHash('sha256')
    .update(JSON.stringify([imageId, sortKeys(spec)]))
    .digest('hex')
    .slice(0, 32);
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sortKeys(member)]),
  );
}
