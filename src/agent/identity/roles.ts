import type { Environment } from '../../support/configuration.ts';
import { selectOverrides, type Profile } from './profile.ts';
import { readinessLabel } from '../run/readiness/result.ts';

/**
 * Invariant 1: every container we make has a fixed name per role and a label. This file is the only place where those
 * names come from.
 *
 * A role has spare names: a dead container that can be neither removed nor renamed (1.10.3) may hold one for good, and so
 * may an unmanaged container. The agent's own name has none, because the server's script needs that name.
 */
export interface RoleNames {
  /** The agent itself. */
  readonly agent: string;
  readonly legacyAgents: readonly string[];
  /** The first name of the new agent until it takes over. */
  readonly next: string;
  /** All names of the new agent, the first one included. */
  readonly nexts: readonly string[];
  /** Where the old agent is parked. */
  readonly previous: readonly string[];
  /** The one container that changes anything. */
  readonly worker: string;
  /**
   * The same name, and spare names for when dead or unmanaged containers hold the lower ones. In their order; two workers
   * never work at once, whatever their names are (`worker/names/turn.ts`).
   */
  readonly workers: readonly string[];
  /** Where a worker that can be neither removed nor used is parked. */
  readonly deadWorker: string;
  /** The first name of the container that starts an agent again that a cleanup has stopped. */
  readonly restarter: string;
  /** All names of it, the first one included. */
  readonly restarters: readonly string[];
  /** Made by the server's script, not by us. */
  readonly upgrades: readonly string[];
  /** The names of the container that the agent's volumes come from; none in the profiles that have no such container. */
  readonly states: readonly string[];
}

/** The names of all roles of a profile. */
export function namesOf(profile: Profile): RoleNames {
  const agent = profile.agentName;
  return {
    agent,
    legacyAgents: profile.legacyAgentNames,
    next: `${agent}-next`,
    nexts: numbered(`${agent}-next`, 3),
    previous: numbered(`${agent}-previous`, 5),
    worker: `${agent}-worker`,
    workers: [`${agent}-worker`, `${agent}-worker-2`, `${agent}-worker-3`],
    deadWorker: `${agent}-worker-dead`,
    restarter: `${agent}-restarter`,
    restarters: numbered(`${agent}-restarter`, 3),
    upgrades: profile.upgradeNames,
    states: profile.stateContainerName === undefined ? [] : numbered(profile.stateContainerName, 3),
  };
}

/** `NAME`, `NAME-2`, …: one digit at most, because earlier versions know a role by that ending. */
function numbered(name: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => (index === 0 ? name : `${name}-${index + 1}`));
}

/** The roles that a name stands for, as people see them; the container that most likely is the active agent first. */
export type RoleTitle =
  | 'agent'
  | 'legacy agent'
  | 'next'
  | 'previous'
  | 'worker'
  | 'dead worker'
  | 'agent-restarter'
  | 'upgrade'
  | 'state';

/** Every role with the names that stand for it, in the order of `RoleTitle`. */
export function roleTable(names: RoleNames): readonly (readonly [RoleTitle, readonly string[]])[] {
  return [
    ['agent', [names.agent]],
    ['legacy agent', names.legacyAgents],
    ['next', names.nexts],
    ['previous', names.previous],
    ['worker', names.workers],
    ['dead worker', [names.deadWorker]],
    ['agent-restarter', names.restarters],
    ['upgrade', names.upgrades],
    ['state', names.states],
  ];
}

/** The role that a container has by its name; undefined for any other container. */
export function titleOf(name: string, names: RoleNames): RoleTitle | undefined {
  return roleTable(names).find(([, roleNames]) => roleNames.includes(name))?.[0];
}

export const labels = {
  /** `agent`, `worker`, `agent-restarter` or `state`. */
  role: 'io.rancher.agent-entrypoint.role',
  /** Digest of what an agent container was created from: two containers with the same one are interchangeable. */
  spec: 'io.rancher.agent-entrypoint.spec',
  /** Digest of what a worker was asked to do. */
  request: 'io.rancher.agent-entrypoint.request',
  /** Names of this host's containers that differ from the profile's, for the agent's own `run`. */
  names: 'io.rancher.agent-entrypoint.names',
  /** On images: their `run` is on standby until its container gets the agent's name. */
  version: 'io.rancher.agent-entrypoint.version',
  /** On images: their `run` proves on standby that it can serve. */
  readiness: readinessLabel,
  /** On an agent: the restart policy that the agent before it had, for a rollback: `SHORT_ID=POLICY`. */
  formerRestart: 'io.rancher.agent-entrypoint.former-restart',
  /** On an agent with keys of its own: the short ids of the agents that it was created to replace. */
  replaces: 'io.rancher.agent-entrypoint.replaces',
  /** On every agent image, upstream's included. */
  system: 'io.rancher.container.system',
} as const;

/** The names that an agent's container was created with, as variables; none where its label is missing or damaged. */
export function readNames(own: Readonly<Record<string, string>>): Environment {
  try {
    const parsed: unknown = JSON.parse(own[labels.names] ?? '{}');
    if (typeof parsed !== 'object' || parsed === null) return {};
    const texts = Object.entries(parsed).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    );
    return selectOverrides(Object.fromEntries(texts));
  } catch {
    return {};
  }
}

/**
 * Whether an image is hardened, so that its `run` is on standby while its container is not named as the agent. An empty
 * label is none: an image that is built from a hardened one cannot take a label away, only empty it.
 */
export function canStandBy(imageLabels: Readonly<Record<string, string>>): boolean {
  return (imageLabels[labels.version] ?? '') !== '';
}

/** Whether an image's `run` proves on standby that it can serve. An empty label is none, as above. */
export function checksReadiness(imageLabels: Readonly<Record<string, string>>): boolean {
  return canStandBy(imageLabels) && (imageLabels[labels.readiness] ?? '') !== '';
}

/** Image names of upstream and PastureStack, behind any registry or mirror prefix. */
export function isAgentImage(reference: string): boolean {
  return /(^|\/)(rancher\/agent|pasturestack\/node-agent)([:@]|$)/.test(reference);
}
