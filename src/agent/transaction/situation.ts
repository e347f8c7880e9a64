import { shortId } from '../../engine/containers.ts';
import { labels } from '../identity/roles.ts';
import { everyone, oldAgents, type Observation, type Observed } from './observe.ts';
import type { Goal, History, Timeouts } from './steps.ts';

export type Fitness =
  /** Created and never started. */
  | 'fresh'
  /** Up, not for long. */
  | 'young'
  /** Up, not for long, and not for the first time: a crash loop, or an accident of an agent that was active for long. */
  | 'shaky'
  /** Up for long enough. */
  | 'sound'
  /** Has run and was stopped. */
  | 'stopped'
  /** Came up and failed, restarts again and again, cannot be started, or is dead. */
  | 'broken';

/** An observation with the questions that planning asks of it. Unmanaged containers have no role; they only take names. */
export class Situation {
  readonly agent: Observed | undefined;
  readonly next: Observed | undefined;
  readonly besideNext: Observed | undefined;
  /** Whom a rollback can return to: old agents that could serve again. */
  readonly olds: readonly Observed[];
  /** Old agents whose removal somebody began: they no longer survive a reboot. */
  readonly removalStarted: readonly Observed[];
  readonly unmanagedAgent: Observed | undefined;
  readonly unmanagedNext: Observed | undefined;
  readonly timeouts: Timeouts;
  /** Whether the goal is one agent of those that are there. */
  readonly isReconciling: boolean;
  readonly #observation: Observation;
  readonly #history: History;

  constructor(observation: Observation, history: History, timeouts: Timeouts, goal: Goal) {
    this.isReconciling = goal.kind === 'reconcile';
    this.#observation = observation;
    this.#history = history;
    this.timeouts = timeouts;
    this.agent = managedOnly(observation.agent);
    this.next = managedOnly(observation.next);
    this.besideNext = managedOnly(observation.besideNext);
    const olds = oldAgents(observation).filter((old) => old.managed && this.canBeRemoved(old));
    this.olds = olds.filter((old) => !old.removalStarted);
    this.removalStarted = olds.filter((old) => old.removalStarted);
    this.unmanagedAgent = unmanagedOnly(observation.agent);
    this.unmanagedNext = unmanagedOnly(observation.next);
  }

  ageOf(container: Observed): number {
    const age = container.startedAt === undefined ? 0 : this.#observation.now - container.startedAt;
    return Math.max(age, this.#watchedFor(container));
  }

  fitnessOf(container: Observed): Fitness {
    const isGivenUp = this.#history.rejected.has(container.id) || !this.canBeRemoved(container);
    if (container.isDead || isGivenUp) return 'broken';
    switch (container.state) {
      case 'created':
        return 'fresh';
      case 'running':
        if (this.ageOf(container) >= this.timeouts.verifyMs) return 'sound';
        return container.restartCount > 0 ? 'shaky' : 'young';
      case 'paused':
        return container === this.agent ? 'sound' : 'broken';
      case 'exited':
        return 'stopped';
      case 'restarting':
      case 'dead':
      case 'removing':
        return 'broken';
    }
  }

  /**
   * Whether an agent may be relied upon. While a rollback is possible, only what was watched while active counts: one that
   * stood by for hours has shown nothing. One that a person has paused is that person's business.
   */
  isProven(agent: Observed): boolean {
    if (this.olds.length > 0 && agent.state !== 'paused')
      return this.#watchedFor(agent) >= this.timeouts.verifyMs;
    return this.fitnessOf(agent) === 'sound';
  }

  /** Whether it works as an agent: one on standby works only when active. */
  isActive(container: Observed): boolean {
    const isActiveName = container === this.agent || this.#observation.legacy.includes(container);
    return isUp(container) && (isActiveName || !container.canStandBy);
  }

  activeBeside(container: Observed): Observed | undefined {
    return everyone(this.#observation).find(
      (other) => other.managed && other.id !== container.id && this.isActive(other),
    );
  }

  isReady(container: Observed): boolean {
    return this.#history.ready.has(container.id);
  }

  /** Whether its bootstrap still has to be watched: while somebody could come back, or where this run promoted it. */
  mustBeWatched(agent: Observed): boolean {
    if (agent.checksReadiness !== true || agent.state === 'paused') return false;
    if (this.#history.bootstraps.has(agent.id)) return false;
    return this.olds.length > 0 || this.isReady(agent);
  }

  keepsParked(agent: Observed): boolean {
    return this.#history.bootstraps.get(agent.id) === 'keep-parked';
  }

  /**
   * The restart policy that an agent must get before the containers beside it go. After a rollback that is the one that it had,
   * as the label of another container tells; without such a label a policy that is off is ours, from a removal that was begun.
   */
  policyToRestore({ id, restartPolicy = '' }: Observed): string | undefined {
    if (restartPolicy !== 'always' && restartPolicy !== 'no') return undefined;
    const told = everyone(this.#observation)
      .filter((other) => other.managed && other.id !== id)
      .map((other) => /^([^=]*)=(.*)$/.exec(other.labels?.[labels.formerRestart] ?? ''))
      .find((match) => match?.[1] === shortId(id));
    const policy = told?.[2] ?? 'always';
    return policy === restartPolicy ? undefined : policy;
  }

  /** Something of ours under a parking name that is of no use and may be removable. */
  findRubbish(): Observed | undefined {
    return this.#observation.previous.find(
      (observed) =>
        observed?.managed === true &&
        (observed.isDead || observed.removalStarted) &&
        this.canBeRemoved(observed),
    );
  }

  isNextFree(): boolean {
    return this.#observation.next === undefined;
  }

  /** Whether a dead container keeps the name of the next one for good, and there is the other one. */
  isSpareNeeded(next: Observed): boolean {
    return next.isDead && this.#observation.besideNext === undefined;
  }

  /** The one of the two names of a next agent that the present one does not have. */
  get otherNextName(): 'first' | 'spare' {
    return this.#observation.nextHasSpareName === true ? 'first' : 'spare';
  }

  freeParkedIndex(): number {
    return this.#observation.previous.findIndex((observed) => observed === undefined);
  }

  canBeRemoved(container: Observed): boolean {
    return !this.#history.unremovable.has(container.id);
  }

  canBeRenamed(container: Observed): boolean {
    return !this.#history.unmovable.has(container.id);
  }

  #watchedFor(container: Observed): number {
    return this.#history.watched.get(container.id) ?? 0;
  }
}

function managedOnly(observed: Observed | undefined): Observed | undefined {
  return observed?.managed === true ? observed : undefined;
}

function unmanagedOnly(observed: Observed | undefined): Observed | undefined {
  return observed?.managed === false ? observed : undefined;
}

/** Whether a container has a process, or will have one without anybody's doing. */
export function isUp(container: Observed): boolean {
  return container.state === 'running' || container.state === 'restarting' || container.state === 'paused';
}
