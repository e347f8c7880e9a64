import type { UnremovableContainer } from './apply.ts';
import { everyone, type Observation, type Observed } from './observe.ts';
import { containerOf, type History, type Step } from './steps.ts';

/** What one run has learnt so far. The planner reads it, and the steps write it. */
export class RunHistory implements History {
  readonly rejected = new Set<string>();
  readonly unmovable = new Set<string>();
  readonly watched = new Map<string, number>();
  readonly ready = new Map<string, string | undefined>();
  readonly bootstraps = new Map<string, 'proven' | 'keep-parked'>();
  readonly unremovable = new Map<string, UnremovableContainer>();
  /** The last log lines of agents that did not stay up, by id. */
  readonly lastLogs = new Map<string, readonly string[]>();

  /** Forgets, before a step, what the step will make untrue. */
  prepare(step: Step): void {
    const id = containerOf(step)?.id;
    if (id === undefined) return;
    if (step.do === 'demote') this.rejected.add(id);
    // In another role, or after another start, a container must prove again that it works.
    if (step.do === 'promote' || step.do === 'start') this.watched.delete(id);
    // What an earlier process has proven says nothing about this one.
    if (step.do === 'start') this.ready.delete(id);
  }

  /** From here on a failed step counts as impossible, so that the planner chooses another one. */
  giveUp(step: Step, message: string): void {
    const container = containerOf(step);
    if (container === undefined) return;
    const { id, name } = container;
    if (step.do === 'discard' || step.do === 'stop')
      this.unremovable.set(id, { id, name, originalMessage: message });
    else if (isRenaming(step)) this.unmovable.add(id);
    else this.rejected.add(id);
  }

  /** The unremovable containers that are still there, with their present names. */
  unremovableIn(observation: Observation): readonly UnremovableContainer[] {
    return everyone(observation).flatMap(({ id, name }: Observed) => {
      const container = this.unremovable.get(id);
      return container === undefined ? [] : [{ ...container, name }];
    });
  }
}

function isRenaming(step: Step): boolean {
  return step.do === 'park' || step.do === 'promote' || step.do === 'demote';
}
