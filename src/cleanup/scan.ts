import { findOldAgent } from './agent-restarter.ts';
import type { RoleNames } from '../agent/identity/roles.ts';
import { describeUrl } from '../control-plane/url.ts';
import { isDead } from '../engine/containers.ts';
import type { ContainerDetails, Engine } from '../engine/engine.ts';
import type { Clock } from '../support/clock.ts';
import type { Limits } from '../support/limits/limits.ts';
import { countLeaks, type LeakFigures } from './leak-figures.ts';
import { findDead, findLeaks, isOldEnough, leftStates, type HelperKind, type Suspect } from './leaks.ts';

/** What a cleanup finds on a host, by one list. */
export interface Scan {
  /** Dead managed containers, then helpers that are old enough, in the order in which they are to be removed. */
  readonly suspects: readonly Suspect[];
  /** Helpers that may still be in use: left for the next run. */
  readonly young: number;
  readonly figures: LeakFigures;
  /** The active agent, if it runs the legacy entrypoint: its loop is what leaks. */
  readonly oldAgent: ContainerDetails | undefined;
  /** The server that requires it to upgrade. */
  readonly server: string | undefined;
}

/** Scans a host. The list may take minutes on an overloaded engine, so it is requested only once. */
export async function scanHost(
  engine: Engine,
  names: RoleNames,
  limits: Limits,
  clock: Clock,
): Promise<Scan> {
  const oldAgent = await findOldAgent(engine, names);
  const listed = await engine.listContainers({ states: leftStates });
  const now = clock.now();
  const dead = findDead(listed, names);
  const all = findLeaks(listed, names);
  const old = all.filter((suspect) => isOldEnough(suspect, { now, age: limits.SWEEP_AGE }));
  const url = oldAgent?.environment['CATTLE_URL'];
  return {
    suspects: [...dead, ...withDeadShuffled(old, clock)],
    young: all.length - old.length,
    figures: countLeaks(all, now, limits),
    oldAgent,
    server: url === undefined || url === '' ? undefined : describeUrl(url),
  };
}

/** The suspects that look like leaked helpers. */
export function leakedHelpers({ suspects }: Pick<Scan, 'suspects'>): readonly Suspect<HelperKind>[] {
  return suspects.flatMap(({ kind, container }) => (kind === 'dead' ? [] : [{ kind, container }]));
}

/**
 * The dead helpers, which come last, in random order. A cleanup stops after too many failures in a row, and unremovable ones
 * must not keep every run from removing the others.
 */
function withDeadShuffled(
  suspects: readonly Suspect<HelperKind>[],
  clock: Clock,
): readonly Suspect<HelperKind>[] {
  const dead = suspects
    .filter(({ container }) => isDead(container))
    .map((suspect) => ({ suspect, at: clock.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ suspect }) => suspect);
  return [...suspects.filter(({ container }) => !isDead(container)), ...dead];
}
