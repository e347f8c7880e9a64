import { isDead } from '../engine/containers.ts';
import type { Limits } from '../support/limits/limits.ts';
import type { HelperKind, Suspect } from './leaks.ts';

/** The leaked helpers of a host in numbers. */
export interface LeakFigures {
  readonly total: number;
  readonly byKind: Readonly<Record<HelperKind, number>>;
  /** Exited, but the client that should have removed it was killed. */
  readonly exited: number;
  /** Created and never started: the client or the engine was killed in between. */
  readonly neverStarted: number;
  /** The engine could not remove it. */
  readonly dead: number;
  /** Created within LEAK_RATE: the rate per hour. */
  readonly lastHour: number;
  /** Created within LEAK_WINDOW. */
  readonly recent: number;
  /** Two or more were created within LEAK_WINDOW, and the last one is not older than their rate explains. */
  readonly leaking: boolean;
  /** Ages in ms; undefined if there is none. */
  readonly youngest: number | undefined;
  readonly oldest: number | undefined;
}

/**
 * Counts what `findLeaks` found in a list. Those created less than LEAK_GRACE ago may still be in use and do not count.
 * @param now milliseconds since 1970, by the host's clock
 */
export function countLeaks(
  suspects: readonly Suspect<HelperKind>[],
  now: number,
  limits: Limits,
): LeakFigures {
  const counted = suspects.filter(({ container }) => now - container.createdAt >= limits.LEAK_GRACE);
  const ages = counted.map(({ container }) => now - container.createdAt);
  const within = (ms: number): number => ages.filter((age) => age <= ms).length;
  const ofKind = (kind: HelperKind): number => counted.filter((suspect) => suspect.kind === kind).length;
  const inState = (state: string): number =>
    counted.filter(({ container }) => container.state === state).length;
  return {
    total: counted.length,
    byKind: {
      'inspect-host': ofKind('inspect-host'),
      'share-mnt': ofKind('share-mnt'),
      'find-gateway': ofKind('find-gateway'),
    },
    exited: inState('exited'),
    neverStarted: inState('created'),
    dead: counted.filter(({ container }) => isDead(container)).length,
    lastHour: within(limits.LEAK_RATE),
    recent: within(limits.LEAK_WINDOW),
    leaking: isLeaking(
      ages.filter((age) => age <= limits.LEAK_WINDOW),
      limits,
    ),
    youngest: ages.length === 0 ? undefined : ages.reduce((a, b) => Math.min(a, b)),
    oldest: ages.length === 0 ? undefined : ages.reduce((a, b) => Math.max(a, b)),
  };
}

/** A person who has just stopped the loop wants to see that it has stopped: three gaps without a new one prove it. */
function isLeaking(recent: readonly number[], limits: Limits): boolean {
  if (recent.length < 2) return false;
  const youngest = recent.reduce((a, b) => Math.min(a, b));
  const oldest = recent.reduce((a, b) => Math.max(a, b));
  const gap = (oldest - youngest) / (recent.length - 1);
  return youngest <= Math.max(limits.LEAK_SILENCE, 3 * gap);
}
