import { shortId } from '../../engine/containers.ts';
import type { Observed } from './observe.ts';

/*
 * The parts of a plan: the goal, what this run has learnt, and the steps.
 */

export type Goal =
  /** One agent created from this image and digest, and no other container. */
  | {
      readonly kind: 'replace';
      readonly digest: string;
      readonly imageId: string;
      readonly canStandBy: boolean;
      /** Its `run` proves on standby that it can serve. */
      readonly checksReadiness: boolean;
    }
  /** One of the agents that are there (the active one if it is healthy), and no other container. */
  | { readonly kind: 'reconcile' };

export type ReplaceGoal = Goal & { kind: 'replace' };

/** What earlier steps of this run have learnt and the engine cannot show. */
export interface History {
  /** Ids of containers that started and failed, or could not be started. */
  readonly rejected: ReadonlySet<string>;
  /** Ids that could not be stopped or removed in the limited number of tries. */
  readonly unremovable: Pick<ReadonlySet<string>, 'has'>;
  /** Ids that could not be renamed in the limited number of tries. */
  readonly unmovable: ReadonlySet<string>;
  /** For how long (ms) a container was seen to stay up in its present role, whatever the clocks say. */
  readonly watched: ReadonlyMap<string, number>;
  /**
   * Ids that may be promoted, with the start that it is true of: they have proven that they can serve, or the rules allow it
   * without that proof.
   */
  readonly ready: ReadonlyMap<string, string | undefined>;
  /** Ids whose bootstrap was watched after their promotion, and whether the parked agents may go. */
  readonly bootstraps: ReadonlyMap<string, 'proven' | 'keep-parked'>;
}

export interface Timeouts {
  /** An agent that has been up this long (ms) is healthy. */
  readonly verifyMs: number;
  /**
   * A next agent that has been up this long (ms) may replace the old one; a restored agent that has been up this long is
   * back.
   */
  readonly standbyMs: number;
}

export type Step =
  | { readonly do: 'create-next'; readonly nextIndex: number }
  | { readonly do: 'start'; readonly container: Observed }
  | { readonly do: 'standby'; readonly container: Observed }
  /** Waits until it has proven that it can serve (readiness §1). */
  | { readonly do: 'ready'; readonly container: Observed }
  | { readonly do: 'stop'; readonly container: Observed }
  | { readonly do: 'park'; readonly container: Observed; readonly parkedIndex: number }
  | { readonly do: 'promote'; readonly container: Observed }
  /** Undoes a promotion: until it is removed, the failed agent gets a name of a next agent again, or is parked. */
  | { readonly do: 'demote'; readonly container: Observed; readonly nextIndex: number }
  | { readonly do: 'demote'; readonly container: Observed; readonly parkedIndex: number }
  | { readonly do: 'verify'; readonly container: Observed }
  /** Waits until its bootstrap has run for a while. */
  | { readonly do: 'watch'; readonly container: Observed }
  /** Gives an agent that came back its former restart policy. */
  | { readonly do: 'restore-policy'; readonly container: Observed; readonly policy: string }
  | { readonly do: 'discard'; readonly container: Observed }
  | { readonly do: 'done'; readonly agent: Observed }
  | Fail;

export type Fail = { readonly do: 'fail'; readonly why: Failure; readonly container?: Observed };

export type Failure =
  | 'unmanaged-in-role'
  | 'next-names-taken'
  | 'parked-names-taken'
  | 'next-does-not-run'
  | 'agent-does-not-run'
  | 'other-agent-does-not-stop'
  | 'name-not-free'
  | 'no-agent';

/** The container that a step is about, if it is about one. */
export function containerOf(step: Step): Observed | undefined {
  return 'container' in step ? step.container : undefined;
}

/** A step for the log, and the same text whenever the same step is planned again: `stop rancher-agent (0123456789ab)`. */
export function describeStep(step: Step): string {
  const container = containerOf(step);
  return container === undefined ? step.do : `${step.do} ${container.name} (${shortId(container.id)})`;
}
