import type { Limits } from '../support/limits/limits.ts';
import type { HelperKind, Suspect } from './leaks.ts';

/** The leaked helpers of a host in numbers. */
export interface LeakFigures {
  readonly total: number;
  readonly byKind: Readonly<Record<HelperKind, number>>;
  /** Ended, and the client that was to remove it had been killed. */
  readonly ended: number;
  /** Created and never started: client or engine were gone in between. */
  readonly neverStarted: number;
  /** The engine could not remove it. */
  readonly dead: number;
  /** Made within LEAK_RATE: the rate per hour. */
  readonly lastHour: number;
  /** Made within LEAK_WINDOW. */
  readonly recent: number;
  /** Two or more within LEAK_WINDOW, and the last one no longer ago than their pace explains. */
  readonly leaking: boolean;
  /** Ages in ms; undefined if there is none. */
  readonly youngest: number | undefined;
  readonly oldest: number | undefined;
}

/**
 * Counts what `findSuspects` found in a list. Those made less than LEAK_GRACE ago may be honest ones and don't count.
 * @param now milliseconds since 1970, by the host's clock
 */
export function countLeaks(suspects: readonly Suspect[], now: number, limits: Limits): LeakFigures {
  const settled = suspects.filter(({ container }) => now - container.createdAt >= limits.LEAK_GRACE);
  const ages = settled.map(({ container }) => now - container.createdAt);
  const within = (ms: number): number => ages.filter((age) => age <= ms).length;
  const ofKind = (kind: HelperKind): number => settled.filter((suspect) => suspect.kind === kind).length;
  const inState = (...states: readonly string[]): number =>
    settled.filter(({ container }) => states.includes(container.state)).length;
  return {
    total: settled.length,
    byKind: {
      'inspect-host': ofKind('inspect-host'),
      'share-mnt': ofKind('share-mnt'),
      'find-gateway': ofKind('find-gateway'),
    },
    ended: inState('exited'),
    neverStarted: inState('created'),
    dead: inState('dead', 'removing'),
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

/** Somebody who has just stopped the loop wants to see that it has stopped: three gaps without a new one are an end. */
function isLeaking(recent: readonly number[], limits: Limits): boolean {
  if (recent.length < 2) return false;
  const youngest = recent.reduce((a, b) => Math.min(a, b));
  const oldest = recent.reduce((a, b) => Math.max(a, b));
  const gap = (oldest - youngest) / (recent.length - 1);
  return youngest <= Math.max(limits.LEAK_SILENCE, 3 * gap);
}
