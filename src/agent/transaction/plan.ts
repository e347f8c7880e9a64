import { shortId } from '../../engine/containers.ts';
import { labels } from '../identity/roles.ts';
import { everyone, oldAgents, type Observation, type Observed } from './observe.ts';

/**
 * The next step, decided from what is there and nothing else. Whoever comes next, after whatever died, looks and asks
 * again.
 *
 * What every step keeps:
 * - an agent's container is stopped only when its replacement exists and, if it can stand by, is up;
 * - a container is discarded only while another one holds the keys, unless its host never had an agent before;
 * - at most one container acts as the agent: one that is to start acting waits until the others are stopped;
 * - strangers' containers are never touched.
 */

export type Goal =
  /** An agent made from this image and digest, and nothing else. */
  | {
      readonly kind: 'replace';
      readonly digest: string;
      readonly imageId: string;
      readonly canStandBy: boolean;
      /** Its `run` proves on standby that it can serve. */
      readonly checksReadiness: boolean;
    }
  /** One agent of those that are there, the one in office if it is sound, and nothing else. */
  | { readonly kind: 'reconcile' };

type Replacement = Goal & { kind: 'replace' };

/** What earlier steps of this very run have learnt and no look at the engine can tell. */
export interface History {
  /** Ids that came up and failed, or could not be started. */
  readonly rejected: ReadonlySet<string>;
  /** Ids that could not be stopped or removed after bounded tries. */
  readonly unremovable: ReadonlySet<string>;
  /** Ids that could not be renamed after bounded tries. */
  readonly unmovable: ReadonlySet<string>;
  /** For how long (ms) a container was seen to stay up in its present role, whatever the clocks say. */
  readonly watched: ReadonlyMap<string, number>;
  /** Ids that may be promoted: they have proven that they can serve, or the rules let them go on without that. */
  readonly ready: ReadonlySet<string>;
  /** Ids whose bootstrap was watched after their promotion, and whether the parked agents may go. */
  readonly bootstraps: ReadonlyMap<string, 'settled' | 'keep-parked'>;
}

export interface Timeouts {
  /** An agent up this long (ms) is sound. */
  readonly verifyMs: number;
  /** A next one up this long (ms) may relieve the old one; a restored one up this long is back. */
  readonly standbyMs: number;
}

export type Step =
  | { readonly do: 'create-next'; readonly name: 'first' | 'spare' }
  | { readonly do: 'start'; readonly container: Observed }
  | { readonly do: 'standby'; readonly container: Observed }
  /** Waits until it has proven that it can serve (readiness.md). */
  | { readonly do: 'ready'; readonly container: Observed }
  | { readonly do: 'stop'; readonly container: Observed }
  | { readonly do: 'park'; readonly container: Observed; readonly parkedIndex: number }
  | { readonly do: 'promote'; readonly container: Observed }
  /**
   * Takes a promotion back: an agent that failed is the next one again, under its first or spare name, or is parked, until it
   * is removed.
   */
  | {
      readonly do: 'demote';
      readonly container: Observed;
      readonly parkedIndex: number | 'spare' | undefined;
    }
  | { readonly do: 'verify'; readonly container: Observed }
  /** Waits until its bootstrap has run for a while. */
  | { readonly do: 'watch'; readonly container: Observed }
  /** Gives an agent that came back the restart policy that it had. */
  | { readonly do: 'restore-policy'; readonly container: Observed; readonly policy: string }
  | { readonly do: 'discard'; readonly container: Observed }
  | { readonly do: 'done'; readonly agent: Observed }
  | Fail;

type Fail = { readonly do: 'fail'; readonly why: Failure; readonly container?: Observed };

export type Failure =
  | 'unmanaged-in-role'
  | 'parked-names-taken'
  | 'next-does-not-run'
  | 'agent-does-not-run'
  | 'other-agent-does-not-stop'
  | 'name-not-free'
  | 'no-agent';

/** Plans the next step towards a goal. */
export function planStep(observation: Observation, goal: Goal, history: History, timeouts: Timeouts): Step {
  const situation = new Situation(observation, history, timeouts, goal);
  return goal.kind === 'reconcile' ? planReconciling(situation) : planReplacement(situation, goal);
}

type Fitness =
  /** Created and never started. */
  | 'fresh'
  /** Up, not for long. */
  | 'young'
  /** Up, not for long, and not for the first time: a crash loop, or an accident of an agent long in office. */
  | 'shaky'
  /** Up for long enough. */
  | 'sound'
  /** Has run and was stopped. */
  | 'stopped'
  /** Came up and failed, restarts again and again, can't be started, or is a corpse. */
  | 'broken';

/** An observation with the questions that planning asks of it. Strangers are in nobody's role; they only hold names. */
class Situation {
  readonly agent: Observed | undefined;
  readonly next: Observed | undefined;
  readonly besideNext: Observed | undefined;
  /** The ways back: old agents that could serve again. */
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
   * Whether an agent may be relied upon. While there is a way back, only what was watched in office counts: one that
   * stood by for hours has shown nothing. One that a person has paused is that person's business.
   */
  isProven(agent: Observed): boolean {
    if (this.olds.length > 0 && agent.state !== 'paused')
      return this.#watchedFor(agent) >= this.timeouts.verifyMs;
    return this.fitnessOf(agent) === 'sound';
  }

  /** Whether it works as an agent: one that stands by does so only in office. */
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

  /** Something of ours under a set-aside name that is of no use and may be removable. */
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

  /** Whether a corpse keeps the name of the next one for good, and there is the other one. */
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

function isWanted(container: Observed, goal: Replacement): boolean {
  const isSame = container.digest === goal.digest && container.imageId === goal.imageId;
  return isSame && !container.isDead && !container.removalStarted;
}

function planReplacement(situation: Situation, goal: Replacement): Step {
  const { agent, next, olds } = situation;
  const unmanaged = situation.unmanagedAgent;
  if (unmanaged !== undefined) return { do: 'fail', why: 'unmanaged-in-role', container: unmanaged };
  if (agent !== undefined && isWanted(agent, goal)) return planFinish(situation, agent);
  if (situation.unmanagedNext !== undefined)
    return { do: 'fail', why: 'unmanaged-in-role', container: situation.unmanagedNext };
  const isTakingOver = agent === undefined && next !== undefined && isWanted(next, goal);
  if (olds.length > 0 && !isTakingOver) {
    // What an upgrade to something else left is settled first.
    const reconciling = planReconciling(situation);
    if (reconciling.do !== 'done') return reconciling;
  }
  if (next === undefined) return planBeginning(situation, 'first');
  if (!isWanted(next, goal) || !situation.canBeRemoved(next)) {
    const isLast = (agent === undefined || agent.isDead) && olds.length === 0 && !next.isDead;
    if (isLast) return planSuccession(situation, agent);
    const clearing = discardNext(situation, next);
    return clearing.do === 'fail' && situation.isSpareNeeded(next)
      ? planBeginning(situation, situation.otherNextName)
      : clearing;
  }
  return planRelief(situation, next, goal) ?? planTakeOver(situation, next);
}

/** The agent is the one that was asked for: it must be the only one that acts, be sound, and then the rest goes. */
function planFinish(situation: Situation, agent: Observed): Step {
  const fitness = situation.fitnessOf(agent);
  if (fitness === 'broken' || (fitness === 'shaky' && situation.olds.length > 0)) {
    return { do: 'fail', why: 'agent-does-not-run', container: agent };
  }
  const bringingUp = planBringingUp(situation, agent);
  if (bringingUp !== undefined) return bringingUp;
  if (!situation.isProven(agent)) return { do: 'verify', container: agent };
  return situation.mustBeWatched(agent) ? { do: 'watch', container: agent } : planTidying(situation, agent);
}

/** Nothing of the new one is there yet: make sure that there is a way back, and begin. */
function planBeginning(situation: Situation, name: 'first' | 'spare'): Step {
  const { agent } = situation;
  const preparing = agent === undefined || agent.isDead ? undefined : planRollback(situation, agent);
  return preparing ?? { do: 'create-next', name };
}

/** Brings the next one up, if it can stand by, before the old one is touched. Undefined: it may take over. */
function planRelief(
  situation: Situation,
  next: Observed,
  { canStandBy: canStandBy, checksReadiness }: Pick<Replacement, 'canStandBy' | 'checksReadiness'>,
): Step | undefined {
  const fitness = situation.fitnessOf(next);
  if (fitness === 'broken' || fitness === 'shaky') {
    return { do: 'fail', why: 'next-does-not-run', container: next };
  }
  if (!canStandBy) {
    // An old engine starts a created container at boot; one that can't stand by acts at once beside the agent.
    const actsBesideAgent = isUp(next) && situation.agent !== undefined && isUp(situation.agent);
    return actsBesideAgent ? { do: 'stop', container: next } : undefined;
  }
  if (fitness === 'fresh' || fitness === 'stopped') return { do: 'start', container: next };
  if (checksReadiness) return situation.isReady(next) ? undefined : { do: 'ready', container: next };
  return situation.ageOf(next) < situation.timeouts.standbyMs
    ? { do: 'standby', container: next }
    : undefined;
}

function planTakeOver(situation: Situation, next: Observed): Step {
  const { agent } = situation;
  if (agent === undefined) return planPromotion(situation, next);
  if (agent.isDead) return planParking(situation, agent);
  const preparing = planRollback(situation, agent);
  if (preparing !== undefined) return preparing;
  return isUp(agent) ? { do: 'stop', container: agent } : planParking(situation, agent);
}

/**
 * Looked at before the agent is stopped: with nowhere to set it aside, or with one beside it that would keep its
 * replacement from acting, nothing may be touched. Undefined: neither is so.
 */
function planRollback(situation: Situation, agent: Observed): Step | undefined {
  const other = situation.activeBeside(agent);
  if (other !== undefined && !situation.canBeRemoved(other)) {
    return { do: 'fail', why: 'other-agent-does-not-stop', container: other };
  }
  return planFreeingName(situation);
}

/** Gives the agent's name, which is free, to a container; the others stop acting first. */
function planPromotion(situation: Situation, successor: Observed): Step {
  if (!situation.canBeRenamed(successor)) {
    return planInPlace(situation, { do: 'fail', why: 'name-not-free', container: successor });
  }
  return planSilence(situation, successor) ?? { do: 'promote', container: successor };
}

/** Has a container act, as the only one. Undefined: it does. */
function planBringingUp(situation: Situation, container: Observed): Step | undefined {
  const silence = planSilence(situation, container);
  if (silence !== undefined) return silence;
  return isUp(container) ? undefined : { do: 'start', container };
}

/** Stops whoever acts beside a container. Undefined: nobody does, or the other one can't be stopped and both act. */
function planSilence(situation: Situation, container: Observed): Step | undefined {
  const other = situation.activeBeside(container);
  if (other === undefined) return undefined;
  if (situation.canBeRemoved(other)) return { do: 'stop', container: other };
  return situation.isActive(container)
    ? undefined
    : { do: 'fail', why: 'other-agent-does-not-stop', container: other };
}

function planParking(situation: Situation, container: Observed): Step {
  if (container.isDead && situation.canBeRemoved(container)) return { do: 'discard', container };
  if (!situation.canBeRenamed(container)) return { do: 'fail', why: 'name-not-free', container };
  return planFreeingName(situation) ?? { do: 'park', container, parkedIndex: situation.freeParkedIndex() };
}

/** Makes room in the pool of set-aside names. Undefined: there is room. */
function planFreeingName(situation: Situation): Step | undefined {
  if (situation.freeParkedIndex() >= 0) return undefined;
  const container = situation.findRubbish();
  return container === undefined ? { do: 'fail', why: 'parked-names-taken' } : { do: 'discard', container };
}

/** One agent of those that are there. */
function planReconciling(situation: Situation): Step {
  const { agent } = situation;
  if (agent === undefined || agent.isDead) return planSuccession(situation, agent);
  const fitness = situation.fitnessOf(agent);
  // A stranger that was adopted never counts as an agent while there is a real one.
  const hasFailed =
    fitness === 'broken' || fitness === 'shaky' || agent.removalStarted || agent.foreign === true;
  if (hasFailed && situation.olds.some((old) => situation.fitnessOf(old) !== 'broken')) {
    return planDemotion(situation, agent);
  }
  if (fitness === 'broken') return planWithBrokenAgent(situation, agent);
  const bringingUp = planBringingUp(situation, agent);
  if (bringingUp !== undefined) return bringingUp;
  const isProven = situation.isProven(agent);
  if (isProven && situation.mustBeWatched(agent)) return { do: 'watch', container: agent };
  if (isProven) return planTidying(situation, agent);
  if (situation.olds.length > 0 || fitness === 'shaky') return { do: 'verify', container: agent };
  if (situation.ageOf(agent) < situation.timeouts.standbyMs) return { do: 'standby', container: agent };
  return planTidying(situation, agent);
}

/**
 * Frees the agent's name for an old one. Not by removing what has it: a removal takes time, and one that fails leaves
 * a corpse, which old engines can't even rename (engine-notes).
 */
function planDemotion(situation: Situation, agent: Observed): Step {
  const container = agent;
  if (!situation.canBeRenamed(agent)) {
    if (situation.canBeRemoved(agent)) return { do: 'discard', container };
    return planInPlace(situation, { do: 'fail', why: 'name-not-free', container });
  }
  if (situation.isNextFree()) return { do: 'demote', container, parkedIndex: undefined };
  const freeing = planFreeingName(situation);
  if (freeing?.do === 'fail') {
    const { next, olds } = situation;
    if (next !== undefined && situation.isSpareNeeded(next))
      return {
        do: 'demote',
        container,
        parkedIndex: situation.otherNextName === 'spare' ? 'spare' : undefined,
      };
    const isInTheWay = next !== undefined && olds.length > 0 && situation.canBeRemoved(next);
    return isInTheWay ? { do: 'discard', container: next } : planInPlace(situation, freeing);
  }
  return freeing ?? { do: 'demote', container, parkedIndex: situation.freeParkedIndex() };
}

/** Docker keeps restarting it; there is nothing better on this host, unless the next one is. */
function planWithBrokenAgent(situation: Situation, agent: Observed): Step {
  const { next } = situation;
  if (next === undefined) return { do: 'fail', why: 'agent-does-not-run', container: agent };
  const isFit = situation.fitnessOf(next) !== 'broken' && situation.fitnessOf(next) !== 'shaky';
  const isRelief = isFit && !next.removalStarted && situation.canBeRemoved(agent);
  const takeOver = isRelief ? planTakeOver(situation, next) : undefined;
  if (takeOver !== undefined && takeOver.do !== 'fail') return takeOver;
  // On a full disk nothing can be renamed or started: one that is up, under whatever name, is all this host has.
  if (isFit && isUp(next) && !isUp(agent)) return { do: 'fail', why: 'agent-does-not-run', container: agent };
  return discardNext(situation, next);
}

/** Nobody is in office: a next one that is ready, else the best of the old ones, else the next one. */
function planSuccession(situation: Situation, isDead: Observed | undefined): Step {
  const proving = planProof(situation);
  if (proving !== undefined) return proving;
  const [successor] = rankSuccessors(situation);
  const unmanaged = situation.unmanagedAgent;
  if (unmanaged !== undefined) {
    // The host keeps an agent under whatever name it has, and a person must look.
    return planInPlace(situation, { do: 'fail', why: 'unmanaged-in-role', container: unmanaged });
  }
  if (successor === undefined) return { do: 'fail', why: 'no-agent', ...(isDead && { container: isDead }) };
  if (isDead === undefined) return planPromotion(situation, successor);
  const parking = planParking(situation, isDead);
  return parking.do === 'fail' ? planDemotion(situation, isDead) : parking;
}

/**
 * A power cut between parking and promotion: the next agent is promoted if it proves once more that it can serve; otherwise the
 * parked one comes back (readiness.md, 4). Undefined: it has, or there is nothing to prove.
 */
function planProof(situation: Situation): Step | undefined {
  const { next, olds } = situation;
  if (next?.checksReadiness !== true || olds.length === 0 || situation.isReady(next)) return undefined;
  if (!situation.isReconciling || !situation.canBeRenamed(next)) return undefined;
  if (
    situation.unmanagedAgent !== undefined ||
    next.removalStarted ||
    olds.some((old) => situation.isActive(old))
  )
    return undefined;
  const fitness = situation.fitnessOf(next);
  if (fitness === 'broken' || fitness === 'shaky') return undefined;
  return isUp(next) ? { do: 'ready', container: next } : { do: 'start', container: next };
}

/**
 * The agent's name can't be had: better one that acts under another name than none. One that can only stand by there
 * is at least up and has the transaction finished when things are better.
 */
function planInPlace(situation: Situation, failure: Fail): Step {
  const candidates = rankSuccessors(situation);
  if (candidates.some((container) => situation.isActive(container))) return failure;
  const startable = candidates.filter(
    (container) => !isUp(container) && situation.fitnessOf(container) !== 'broken',
  );
  const active = startable.find(({ canStandBy }) => !canStandBy);
  if (active !== undefined) return planBringingUp(situation, active) ?? failure;
  const [container] = startable;
  const isOneUp = candidates.some(isUp) || (situation.agent !== undefined && isUp(situation.agent));
  return container === undefined || isOneUp ? failure : { do: 'start', container };
}

/** Prefers one that isn't broken, one that is no stranger's, one that acts, an old one, one that runs, one that ran last. */
function rankSuccessors(situation: Situation): readonly Observed[] {
  const { olds, removalStarted, next } = situation;
  const candidates = [...olds, ...(next === undefined || next.isDead ? [] : [next]), ...removalStarted];
  const rank = (container: Observed): readonly number[] => [
    Number(situation.fitnessOf(container) !== 'broken'),
    Number(container.foreign !== true),
    Number(container === next && situation.isReady(next) && situation.canBeRenamed(next)),
    Number(situation.isActive(container)),
    Number(olds.includes(container)),
    Number(container === next && !next.removalStarted),
    Number(isUp(container)),
    container.startedAt ?? 0,
  ];
  return candidates.sort((a, b) => compareRanks(rank(b), rank(a)));
}

function compareRanks(a: readonly number[], b: readonly number[]): number {
  const differences = a.map((value, index) => value - (b[index] ?? 0));
  return differences.find((difference) => difference !== 0) ?? 0;
}

/** The agent is sound: everything else goes, and what can't be removed is named in the end. */
function planTidying(situation: Situation, agent: Observed): Step {
  const olds = situation.keepsParked(agent) ? [] : situation.olds;
  const rest = [
    situation.next,
    situation.besideNext,
    ...olds,
    ...situation.removalStarted,
    situation.findRubbish(),
  ];
  const discarded = rest.find((container) => container !== undefined && situation.canBeRemoved(container));
  if (discarded === undefined) return { do: 'done', agent };
  const policy = situation.policyToRestore(agent);
  if (policy !== undefined) return { do: 'restore-policy', container: agent, policy };
  return { do: 'discard', container: discarded };
}

/** A next one that can't be removed keeps the name under which we create. */
function discardNext(situation: Situation, next: Observed): Step {
  return situation.canBeRemoved(next) ? { do: 'discard', container: next } : planParking(situation, next);
}
