import { shortId } from '../../engine/containers.ts';
import { labels } from '../identity/roles.ts';
import { isKin, isOfOthers } from '../origin/keys.ts';
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
  /** Started and failed, restarts again and again, cannot be started, or is dead. */
  | 'broken';

/**
 * An observation, with the questions that the planner asks about it. Unmanaged containers have no role; they only occupy
 * names.
 */
export class Situation {
  readonly agent: Observed | undefined;
  readonly next: Observed | undefined;
  /** Managed containers with the other names of a next agent: they are dead, or should not be there. */
  readonly otherNexts: readonly Observed[];
  /** The agents that a rollback can return to: old ones that could serve again, with the keys of the agent. */
  readonly olds: readonly Observed[];
  /** Old agents whose removal has begun: a reboot does not start them again. */
  readonly removalStarted: readonly Observed[];
  readonly unmanagedAgent: Observed | undefined;
  readonly timeouts: Timeouts;
  /** Whether the goal is to keep one of the agents that are there. */
  readonly isReconciling: boolean;
  readonly #observation: Observation;
  readonly #history: History;

  constructor(observation: Observation, history: History, timeouts: Timeouts, goal: Goal) {
    this.isReconciling = goal.kind === 'reconcile';
    this.#observation = observation;
    this.#history = history;
    this.timeouts = timeouts;
    this.agent = managedOnly(observation.agent);
    this.next = observation.next;
    this.otherNexts = observation.nexts.filter(
      (other): other is Observed => other?.managed === true && other !== observation.next,
    );
    const olds = oldAgents(observation).filter((old) => old.managed && this.canBeRemoved(old));
    const { agent } = this;
    this.olds = olds.filter((old) => !old.removalStarted && (agent === undefined || !isOfOthers(old, agent)));
    this.removalStarted = olds.filter((old) => old.removalStarted);
    this.unmanagedAgent = unmanagedOnly(observation.agent);
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
        return container.restartCount > 0 && !this.isReady(container) ? 'shaky' : 'young';
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
   * Whether an agent counts as healthy. While a rollback is possible, only its time as the active agent counts: hours on
   * standby prove nothing. An agent that a person has paused is left as it is.
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

  /** Whether it may take the agent's place: the host must not lose its keys. */
  hasKeysOf(agent: Observed, container: Observed): boolean {
    return agent.adopted === true || isKin(agent, container);
  }

  /** Whether this very start may be promoted: what an earlier process has proven says nothing about this one. */
  isReady({ id, start }: Observed): boolean {
    return this.#history.ready.has(id) && this.#history.ready.get(id) === start;
  }

  /**
   * Whether a next agent that restarts may still prove that it can serve: somebody may have restarted or killed it. How often it
   * may exit is decided while it proves that.
   */
  mayStillProve(next: Observed): boolean {
    const fitness = this.fitnessOf(next);
    if (fitness === 'shaky') return true;
    const isGivenUp = next.isDead || this.#history.rejected.has(next.id) || !this.canBeRemoved(next);
    return fitness === 'broken' && next.state === 'restarting' && !isGivenUp;
  }

  /** Whether its bootstrap must still be watched: while a rollback is possible, or if this run promoted it. */
  mustBeWatched(agent: Observed): boolean {
    if (agent.checksReadiness !== true || agent.state === 'paused') return false;
    if (this.#history.bootstraps.has(agent.id)) return false;
    return this.olds.length > 0 || this.#history.ready.has(agent.id);
  }

  keepsParked(agent: Observed): boolean {
    return this.#history.bootstraps.get(agent.id) === 'keep-parked';
  }

  /**
   * The restart policy that an agent must get before the other containers are removed. After a rollback it is the policy
   * that the agent had before; a label of another container keeps it. Without such a label, a policy that is off comes from
   * a removal that was begun.
   */
  policyToRestore({ id, restartPolicy = '' }: Observed): string | undefined {
    if (restartPolicy !== 'always' && restartPolicy !== 'no') return undefined;
    const noted = everyone(this.#observation)
      .filter((other) => other.managed && other.id !== id)
      .map((other) => /^([^=]*)=(.*)$/.exec(other.labels?.[labels.formerRestart] ?? ''))
      .find((match) => match?.[1] === shortId(id));
    const policy = noted?.[2] ?? 'always';
    return policy === restartPolicy ? undefined : policy;
  }

  /** A managed container with a parking name that has no use and can perhaps be removed. */
  findRubbish(): Observed | undefined {
    return this.#observation.previous.find(
      (observed) =>
        observed?.managed === true &&
        (observed.isDead || observed.removalStarted) &&
        this.canBeRemoved(observed),
    );
  }

  /** Whether a dead container occupies its name of a next agent for good, and another name is free. */
  isSpareNeeded(next: Observed): boolean {
    return next.isDead && this.freeNextIndex() >= 0;
  }

  /** The first free name of a next agent; negative if there is none. */
  freeNextIndex(): number {
    return this.#observation.nexts.findIndex((observed) => observed === undefined);
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

/** Whether a container has a process, or will have one because Docker restarts it. */
export function isUp(container: Observed): boolean {
  return container.state === 'running' || container.state === 'restarting' || container.state === 'paused';
}
