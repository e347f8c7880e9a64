import { findOldAgent } from './agent-restarter.ts';
import type { RoleNames } from '../agent/identity/roles.ts';
import { describeUrl } from '../control-plane/url.ts';
import type { ContainerDetails, ContainerSummary, Engine } from '../engine/engine.ts';
import type { Clock } from '../support/clock.ts';
import type { Limits } from '../support/limits/limits.ts';
import { countLeaks, type LeakFigures } from './leak-figures.ts';
import { findDead, findSuspects, isOldEnough, leftStates, type Suspect } from './leaks.ts';

/** What a clean-up finds on a host, by one list. */
export interface Survey {
  /** Old enough, in the order in which they are to be removed. */
  readonly suspects: readonly Suspect[];
  /** Helpers that somebody may still be reading: left for the next run. */
  readonly young: number;
  /** Dead containers with a name of ours. */
  readonly dead: readonly ContainerSummary[];
  readonly figures: LeakFigures;
  /** The agent of an older entrypoint that is in office: its loop is what leaks. */
  readonly oldAgent: ContainerDetails | undefined;
  /** The server that asks it. */
  readonly server: string | undefined;
}

/** Looks at a host. The list may take an engine in trouble minutes; it is asked for once. */
export async function surveyHost(
  engine: Engine,
  names: RoleNames,
  limits: Limits,
  clock: Clock,
): Promise<Survey> {
  const oldAgent = await findOldAgent(engine, names);
  const listed = await engine.listContainers({ states: leftStates });
  const now = clock.now();
  const all = findSuspects(listed, names);
  const old = all.filter((suspect) => isOldEnough(suspect, { now, age: limits.SWEEP_AGE }));
  const url = oldAgent?.environment['CATTLE_URL'];
  return {
    suspects: withDeadShuffled(old, clock),
    young: all.length - old.length,
    dead: findDead(listed, names),
    figures: countLeaks(all, now, limits),
    oldAgent,
    server: url === undefined || url === '' ? undefined : describeUrl(url),
  };
}

/**
 * The dead ones, which come last, in no order: a clean-up ends when too many in a row can't be removed, and those that
 * really can't must not keep all the others from every run.
 */
function withDeadShuffled(suspects: readonly Suspect[], clock: Clock): readonly Suspect[] {
  const isDead = ({ container: { state } }: Suspect): boolean => state === 'dead' || state === 'removing';
  const dead = suspects
    .filter(isDead)
    .map((suspect) => ({ suspect, at: clock.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ suspect }) => suspect);
  return [...suspects.filter((suspect) => !isDead(suspect)), ...dead];
}
