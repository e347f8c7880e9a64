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
      readonly standsBy: boolean;
      /** Its `run` proves on standby that it can serve. */
      readonly checksReadiness: boolean;
    }
  /** One agent of those that are there, the one in office if it is sound, and nothing else. */
  | { readonly kind: 'settle' };

type Replacement = Goal & { kind: 'replace' };

/** What earlier steps of this very run have learnt and no look at the engine can tell. */
export interface Experience {
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

export interface Patience {
  /** An agent up this long (ms) is sound. */
  readonly verifyMs: number;
  /** A next one up this long (ms) may relieve the old one; a restored one up this long is back. */
  readonly standByMs: number;
}

export type Step =
  | { readonly do: 'create-next'; readonly name: 'first' | 'spare' }
  | { readonly do: 'start'; readonly container: Observed }
  | { readonly do: 'stand-by'; readonly container: Observed }
  /** Waits until it has proven that it can serve (readiness §1). */
  | { readonly do: 'ready'; readonly container: Observed }
  | { readonly do: 'stop'; readonly container: Observed }
  | { readonly do: 'set-aside'; readonly container: Observed; readonly slot: number }
  | { readonly do: 'promote'; readonly container: Observed }
  /**
   * Takes a promotion back: an agent that failed is the next one again, under its first or spare name, or is parked, until it
   * is removed.
   */
  | { readonly do: 'demote'; readonly container: Observed; readonly slot: number | 'spare' | undefined }
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
  | 'stranger-in-role'
  | 'set-aside-names-taken'
  | 'next-does-not-run'
  | 'agent-does-not-run'
  | 'other-agent-does-not-stop'
  | 'name-not-free'
  | 'no-agent';

/** Plans the next step towards a goal. */
export function planStep(
  observation: Observation,
  goal: Goal,
  experience: Experience,
  patience: Patience,
): Step {
  const scene = new Scene(observation, experience, patience, goal);
  return goal.kind === 'settle' ? planSettling(scene) : planReplacement(scene, goal);
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
class Scene {
  readonly agent: Observed | undefined;
  readonly next: Observed | undefined;
  readonly besideNext: Observed | undefined;
  /** The ways back: old agents that could serve again. */
  readonly olds: readonly Observed[];
  /** Old agents whose removal somebody began: they no longer survive a reboot. */
  readonly condemned: readonly Observed[];
  readonly strangerInOffice: Observed | undefined;
  readonly strangerAsNext: Observed | undefined;
  readonly patience: Patience;
  /** Whether the goal is one agent of those that are there. */
  readonly isReconciling: boolean;
  readonly #observation: Observation;
  readonly #experience: Experience;

  constructor(observation: Observation, experience: Experience, patience: Patience, goal: Goal) {
    this.isReconciling = goal.kind === 'settle';
    this.#observation = observation;
    this.#experience = experience;
    this.patience = patience;
    this.agent = oursOnly(observation.agent);
    this.next = oursOnly(observation.next);
    this.besideNext = oursOnly(observation.besideNext);
    const olds = oldAgents(observation).filter((old) => old.ours && this.canBeRemoved(old));
    this.olds = olds.filter((old) => !old.condemned);
    this.condemned = olds.filter((old) => old.condemned);
    this.strangerInOffice = strangerOnly(observation.agent);
    this.strangerAsNext = strangerOnly(observation.next);
  }

  ageOf(container: Observed): number {
    const age = container.startedAt === undefined ? 0 : this.#observation.now - container.startedAt;
    return Math.max(age, this.#watchedFor(container));
  }

  fitnessOf(container: Observed): Fitness {
    const isGivenUp = this.#experience.rejected.has(container.id) || !this.canBeRemoved(container);
    if (container.corpse || isGivenUp) return 'broken';
    switch (container.state) {
      case 'created':
        return 'fresh';
      case 'running':
        if (this.ageOf(container) >= this.patience.verifyMs) return 'sound';
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
      return this.#watchedFor(agent) >= this.patience.verifyMs;
    return this.fitnessOf(agent) === 'sound';
  }

  /** Whether it works as an agent: one that stands by does so only in office. */
  acts(container: Observed): boolean {
    const isInOffice = container === this.agent || this.#observation.legacy.includes(container);
    return isUp(container) && (isInOffice || !container.standsBy);
  }

  actingBeside(container: Observed): Observed | undefined {
    return everyone(this.#observation).find(
      (other) => other.ours && other.id !== container.id && this.acts(other),
    );
  }

  isReady(container: Observed): boolean {
    return this.#experience.ready.has(container.id);
  }

  /** Whether its bootstrap still has to be watched: while somebody could come back, or where this run promoted it. */
  mustBeWatched(agent: Observed): boolean {
    if (agent.checksReadiness !== true || agent.state === 'paused') return false;
    if (this.#experience.bootstraps.has(agent.id)) return false;
    return this.olds.length > 0 || this.isReady(agent);
  }

  keepsParked(agent: Observed): boolean {
    return this.#experience.bootstraps.get(agent.id) === 'keep-parked';
  }

  /**
   * The restart policy that an agent must get before the containers beside it go. After a rollback that is the one that it had,
   * as the label of another container tells; without such a label a policy that is off is ours, from a removal that was begun.
   */
  policyToRestore({ id, restartPolicy = '' }: Observed): string | undefined {
    if (restartPolicy !== 'always' && restartPolicy !== 'no') return undefined;
    const shortId = id.slice(0, 12);
    const told = everyone(this.#observation)
      .filter((other) => other.ours && other.id !== id)
      .map((other) => /^([^=]*)=(.*)$/.exec(other.labels?.[labels.formerRestart] ?? ''))
      .find((match) => match?.[1] === shortId);
    const policy = told?.[2] ?? 'always';
    return policy === restartPolicy ? undefined : policy;
  }

  /** Something of ours under a set-aside name that is of no use and may be removable. */
  findRubbish(): Observed | undefined {
    return this.#observation.previous.find(
      (observed) =>
        observed?.ours === true && (observed.corpse || observed.condemned) && this.canBeRemoved(observed),
    );
  }

  isNextFree(): boolean {
    return this.#observation.next === undefined;
  }

  /** Whether a corpse keeps the name of the next one for good, and there is the other one. */
  isSpareNeeded(next: Observed): boolean {
    return next.corpse && this.#observation.besideNext === undefined;
  }

  /** The one of the two names of a next agent that the present one does not have. */
  get otherNextName(): 'first' | 'spare' {
    return this.#observation.nextHasSpareName === true ? 'first' : 'spare';
  }

  freeSlot(): number {
    return this.#observation.previous.findIndex((observed) => observed === undefined);
  }

  canBeRemoved(container: Observed): boolean {
    return !this.#experience.unremovable.has(container.id);
  }

  canBeRenamed(container: Observed): boolean {
    return !this.#experience.unmovable.has(container.id);
  }

  #watchedFor(container: Observed): number {
    return this.#experience.watched.get(container.id) ?? 0;
  }
}

function oursOnly(observed: Observed | undefined): Observed | undefined {
  return observed?.ours === true ? observed : undefined;
}

function strangerOnly(observed: Observed | undefined): Observed | undefined {
  return observed?.ours === false ? observed : undefined;
}

/** Whether a container has a process, or will have one without anybody's doing. */
export function isUp(container: Observed): boolean {
  return container.state === 'running' || container.state === 'restarting' || container.state === 'paused';
}

function isWanted(container: Observed, goal: Replacement): boolean {
  const isSame = container.digest === goal.digest && container.imageId === goal.imageId;
  return isSame && !container.corpse && !container.condemned;
}

function planReplacement(scene: Scene, goal: Replacement): Step {
  const { agent, next, olds } = scene;
  const stranger = scene.strangerInOffice;
  if (stranger !== undefined) return { do: 'fail', why: 'stranger-in-role', container: stranger };
  if (agent !== undefined && isWanted(agent, goal)) return planFinish(scene, agent);
  if (scene.strangerAsNext !== undefined)
    return { do: 'fail', why: 'stranger-in-role', container: scene.strangerAsNext };
  const isTakingOver = agent === undefined && next !== undefined && isWanted(next, goal);
  if (olds.length > 0 && !isTakingOver) {
    // What an upgrade to something else left is settled first.
    const settling = planSettling(scene);
    if (settling.do !== 'done') return settling;
  }
  if (next === undefined) return planBeginning(scene, 'first');
  if (!isWanted(next, goal) || !scene.canBeRemoved(next)) {
    const isLast = (agent === undefined || agent.corpse) && olds.length === 0 && !next.corpse;
    if (isLast) return planSuccession(scene, agent);
    const clearing = discardNext(scene, next);
    return clearing.do === 'fail' && scene.isSpareNeeded(next)
      ? planBeginning(scene, scene.otherNextName)
      : clearing;
  }
  return planRelief(scene, next, goal) ?? planTakeOver(scene, next);
}

/** The agent is the one that was asked for: it must be the only one that acts, be sound, and then the rest goes. */
function planFinish(scene: Scene, agent: Observed): Step {
  const fitness = scene.fitnessOf(agent);
  if (fitness === 'broken' || (fitness === 'shaky' && scene.olds.length > 0)) {
    return { do: 'fail', why: 'agent-does-not-run', container: agent };
  }
  const bringingUp = planBringingUp(scene, agent);
  if (bringingUp !== undefined) return bringingUp;
  if (!scene.isProven(agent)) return { do: 'verify', container: agent };
  return scene.mustBeWatched(agent) ? { do: 'watch', container: agent } : planTidying(scene, agent);
}

/** Nothing of the new one is there yet: make sure that there is a way back, and begin. */
function planBeginning(scene: Scene, name: 'first' | 'spare'): Step {
  const { agent } = scene;
  const preparing = agent === undefined || agent.corpse ? undefined : planWayBack(scene, agent);
  return preparing ?? { do: 'create-next', name };
}

/** Brings the next one up, if it can stand by, before the old one is touched. Undefined: it may take over. */
function planRelief(
  scene: Scene,
  next: Observed,
  { standsBy: canStandBy, checksReadiness }: Pick<Replacement, 'standsBy' | 'checksReadiness'>,
): Step | undefined {
  const fitness = scene.fitnessOf(next);
  if (fitness === 'broken' || fitness === 'shaky') {
    return { do: 'fail', why: 'next-does-not-run', container: next };
  }
  if (!canStandBy) {
    // An old engine starts a created container at boot; one that can't stand by acts at once beside the agent.
    const actsBesideAgent = isUp(next) && scene.agent !== undefined && isUp(scene.agent);
    return actsBesideAgent ? { do: 'stop', container: next } : undefined;
  }
  if (fitness === 'fresh' || fitness === 'stopped') return { do: 'start', container: next };
  if (checksReadiness) return scene.isReady(next) ? undefined : { do: 'ready', container: next };
  return scene.ageOf(next) < scene.patience.standByMs ? { do: 'stand-by', container: next } : undefined;
}

function planTakeOver(scene: Scene, next: Observed): Step {
  const { agent } = scene;
  if (agent === undefined) return planPromotion(scene, next);
  if (agent.corpse) return planSettingAside(scene, agent);
  const preparing = planWayBack(scene, agent);
  if (preparing !== undefined) return preparing;
  return isUp(agent) ? { do: 'stop', container: agent } : planSettingAside(scene, agent);
}

/**
 * Looked at before the agent is stopped: with nowhere to set it aside, or with one beside it that would keep its
 * replacement from acting, nothing may be touched. Undefined: neither is so.
 */
function planWayBack(scene: Scene, agent: Observed): Step | undefined {
  const other = scene.actingBeside(agent);
  if (other !== undefined && !scene.canBeRemoved(other)) {
    return { do: 'fail', why: 'other-agent-does-not-stop', container: other };
  }
  return planFreeingName(scene);
}

/** Gives the agent's name, which is free, to a container; the others stop acting first. */
function planPromotion(scene: Scene, successor: Observed): Step {
  if (!scene.canBeRenamed(successor)) {
    return planInPlace(scene, { do: 'fail', why: 'name-not-free', container: successor });
  }
  return planSilence(scene, successor) ?? { do: 'promote', container: successor };
}

/** Has a container act, as the only one. Undefined: it does. */
function planBringingUp(scene: Scene, container: Observed): Step | undefined {
  const silence = planSilence(scene, container);
  if (silence !== undefined) return silence;
  return isUp(container) ? undefined : { do: 'start', container };
}

/** Stops whoever acts beside a container. Undefined: nobody does, or the other one can't be stopped and both act. */
function planSilence(scene: Scene, container: Observed): Step | undefined {
  const other = scene.actingBeside(container);
  if (other === undefined) return undefined;
  if (scene.canBeRemoved(other)) return { do: 'stop', container: other };
  return scene.acts(container)
    ? undefined
    : { do: 'fail', why: 'other-agent-does-not-stop', container: other };
}

function planSettingAside(scene: Scene, container: Observed): Step {
  if (container.corpse && scene.canBeRemoved(container)) return { do: 'discard', container };
  if (!scene.canBeRenamed(container)) return { do: 'fail', why: 'name-not-free', container };
  return planFreeingName(scene) ?? { do: 'set-aside', container, slot: scene.freeSlot() };
}

/** Makes room in the pool of set-aside names. Undefined: there is room. */
function planFreeingName(scene: Scene): Step | undefined {
  if (scene.freeSlot() >= 0) return undefined;
  const container = scene.findRubbish();
  return container === undefined
    ? { do: 'fail', why: 'set-aside-names-taken' }
    : { do: 'discard', container };
}

/** One agent of those that are there. */
function planSettling(scene: Scene): Step {
  const { agent } = scene;
  if (agent === undefined || agent.corpse) return planSuccession(scene, agent);
  const fitness = scene.fitnessOf(agent);
  // A stranger that was adopted never counts as an agent while there is a real one.
  const hasFailed = fitness === 'broken' || fitness === 'shaky' || agent.condemned || agent.foreign === true;
  if (hasFailed && scene.olds.some((old) => scene.fitnessOf(old) !== 'broken')) {
    return planDemotion(scene, agent);
  }
  if (fitness === 'broken') return planWithBrokenAgent(scene, agent);
  const bringingUp = planBringingUp(scene, agent);
  if (bringingUp !== undefined) return bringingUp;
  const isProven = scene.isProven(agent);
  if (isProven && scene.mustBeWatched(agent)) return { do: 'watch', container: agent };
  if (isProven) return planTidying(scene, agent);
  if (scene.olds.length > 0 || fitness === 'shaky') return { do: 'verify', container: agent };
  if (scene.ageOf(agent) < scene.patience.standByMs) return { do: 'stand-by', container: agent };
  return planTidying(scene, agent);
}

/**
 * Frees the agent's name for an old one. Not by removing what has it: a removal takes time, and one that fails leaves
 * a corpse, which old engines can't even rename (engine-notes §3).
 */
function planDemotion(scene: Scene, agent: Observed): Step {
  const container = agent;
  if (!scene.canBeRenamed(agent)) {
    if (scene.canBeRemoved(agent)) return { do: 'discard', container };
    return planInPlace(scene, { do: 'fail', why: 'name-not-free', container });
  }
  if (scene.isNextFree()) return { do: 'demote', container, slot: undefined };
  const freeing = planFreeingName(scene);
  if (freeing?.do === 'fail') {
    const { next, olds } = scene;
    if (next !== undefined && scene.isSpareNeeded(next))
      return { do: 'demote', container, slot: scene.otherNextName === 'spare' ? 'spare' : undefined };
    const isInTheWay = next !== undefined && olds.length > 0 && scene.canBeRemoved(next);
    return isInTheWay ? { do: 'discard', container: next } : planInPlace(scene, freeing);
  }
  return freeing ?? { do: 'demote', container, slot: scene.freeSlot() };
}

/** Docker keeps restarting it; there is nothing better on this host, unless the next one is. */
function planWithBrokenAgent(scene: Scene, agent: Observed): Step {
  const { next } = scene;
  if (next === undefined) return { do: 'fail', why: 'agent-does-not-run', container: agent };
  const isFit = scene.fitnessOf(next) !== 'broken' && scene.fitnessOf(next) !== 'shaky';
  const isRelief = isFit && !next.condemned && scene.canBeRemoved(agent);
  const takeOver = isRelief ? planTakeOver(scene, next) : undefined;
  if (takeOver !== undefined && takeOver.do !== 'fail') return takeOver;
  // On a full disk nothing can be renamed or started: one that is up, under whatever name, is all this host has.
  if (isFit && isUp(next) && !isUp(agent)) return { do: 'fail', why: 'agent-does-not-run', container: agent };
  return discardNext(scene, next);
}

/** Nobody is in office: a next one that is ready, else the best of the old ones, else the next one. */
function planSuccession(scene: Scene, corpse: Observed | undefined): Step {
  const proving = planProof(scene);
  if (proving !== undefined) return proving;
  const [successor] = rankSuccessors(scene);
  const stranger = scene.strangerInOffice;
  if (stranger !== undefined) {
    // The host keeps an agent under whatever name it has, and a person must look.
    return planInPlace(scene, { do: 'fail', why: 'stranger-in-role', container: stranger });
  }
  if (successor === undefined) return { do: 'fail', why: 'no-agent', ...(corpse && { container: corpse }) };
  if (corpse === undefined) return planPromotion(scene, successor);
  const settingAside = planSettingAside(scene, corpse);
  return settingAside.do === 'fail' ? planDemotion(scene, corpse) : settingAside;
}

/**
 * A power cut between parking and promotion: the next agent is promoted if it proves once more that it can serve; otherwise the
 * parked one comes back (readiness §4). Undefined: it has, or there is nothing to prove.
 */
function planProof(scene: Scene): Step | undefined {
  const { next, olds } = scene;
  if (next?.checksReadiness !== true || olds.length === 0 || scene.isReady(next)) return undefined;
  if (!scene.isReconciling || !scene.canBeRenamed(next)) return undefined;
  if (scene.strangerInOffice !== undefined || next.condemned || olds.some((old) => scene.acts(old)))
    return undefined;
  const fitness = scene.fitnessOf(next);
  if (fitness === 'broken' || fitness === 'shaky') return undefined;
  return isUp(next) ? { do: 'ready', container: next } : { do: 'start', container: next };
}

/**
 * The agent's name can't be had: better one that acts under another name than none. One that can only stand by there
 * is at least up and has the transaction finished when things are better.
 */
function planInPlace(scene: Scene, failure: Fail): Step {
  const candidates = rankSuccessors(scene);
  if (candidates.some((container) => scene.acts(container))) return failure;
  const startable = candidates.filter(
    (container) => !isUp(container) && scene.fitnessOf(container) !== 'broken',
  );
  const active = startable.find(({ standsBy }) => !standsBy);
  if (active !== undefined) return planBringingUp(scene, active) ?? failure;
  const [container] = startable;
  const isOneUp = candidates.some(isUp) || (scene.agent !== undefined && isUp(scene.agent));
  return container === undefined || isOneUp ? failure : { do: 'start', container };
}

/** Prefers one that isn't broken, one that is no stranger's, one that acts, an old one, one that runs, one that ran last. */
function rankSuccessors(scene: Scene): readonly Observed[] {
  const { olds, condemned, next } = scene;
  const candidates = [...olds, ...(next === undefined || next.corpse ? [] : [next]), ...condemned];
  const rank = (container: Observed): readonly number[] => [
    Number(scene.fitnessOf(container) !== 'broken'),
    Number(container.foreign !== true),
    Number(container === next && scene.isReady(next) && scene.canBeRenamed(next)),
    Number(scene.acts(container)),
    Number(olds.includes(container)),
    Number(container === next && !next.condemned),
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
function planTidying(scene: Scene, agent: Observed): Step {
  const olds = scene.keepsParked(agent) ? [] : scene.olds;
  const rest = [scene.next, scene.besideNext, ...olds, ...scene.condemned, scene.findRubbish()];
  const discarded = rest.find((container) => container !== undefined && scene.canBeRemoved(container));
  if (discarded === undefined) return { do: 'done', agent };
  const policy = scene.policyToRestore(agent);
  if (policy !== undefined) return { do: 'restore-policy', container: agent, policy };
  return { do: 'discard', container: discarded };
}

/** A next one that can't be removed keeps the name under which we create. */
function discardNext(scene: Scene, next: Observed): Step {
  return scene.canBeRemoved(next) ? { do: 'discard', container: next } : planSettingAside(scene, next);
}
