import { oldAgents, type Observation, type Observed } from './observe.ts';

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
    }
  /** One agent of those that are there, the one in office if it is sound, and nothing else. */
  | { readonly kind: 'settle' };

type Replacement = Goal & { kind: 'replace' };

/** What earlier steps of this very run have learnt and no look at the engine can tell. */
export interface Experience {
  /** Ids that came up and failed. */
  readonly rejected: ReadonlySet<string>;
  /** Ids that could not be removed after bounded tries. */
  readonly unremovable: ReadonlySet<string>;
  /** For how long (ms) a container was seen to stay up, whatever the clocks say. */
  readonly watched: ReadonlyMap<string, number>;
}

export interface Patience {
  /** An agent up this long (ms) is sound. */
  readonly verifyMs: number;
  /** A next one up this long (ms) may relieve the old one; a restored one up this long is back. */
  readonly standByMs: number;
}

export type Step =
  | { readonly do: 'create-next' }
  | { readonly do: 'start'; readonly container: Observed }
  | { readonly do: 'stand-by'; readonly container: Observed }
  | { readonly do: 'stop'; readonly container: Observed }
  | { readonly do: 'set-aside'; readonly container: Observed; readonly slot: number }
  | { readonly do: 'promote'; readonly container: Observed }
  | { readonly do: 'verify'; readonly container: Observed }
  | { readonly do: 'discard'; readonly container: Observed }
  | { readonly do: 'done'; readonly agent: Observed }
  | { readonly do: 'fail'; readonly why: Failure; readonly container?: Observed };

export type Failure =
  | 'stranger-in-role'
  | 'set-aside-names-taken'
  | 'next-does-not-run'
  | 'agent-does-not-run'
  | 'name-held-by-corpse'
  | 'no-agent';

/** Plans the next step towards a goal. */
export function planStep(
  observation: Observation,
  goal: Goal,
  experience: Experience,
  patience: Patience,
): Step {
  const scene = new Scene(observation, experience, patience);
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
  readonly olds: readonly Observed[];
  readonly strangerInOffice: Observed | undefined;
  readonly strangerAsNext: Observed | undefined;
  readonly patience: Patience;
  readonly #observation: Observation;
  readonly #experience: Experience;

  constructor(observation: Observation, experience: Experience, patience: Patience) {
    this.#observation = observation;
    this.#experience = experience;
    this.patience = patience;
    this.agent = oursOnly(observation.agent);
    this.next = oursOnly(observation.next);
    this.olds = oldAgents(observation).filter((old) => old.ours && !experience.unremovable.has(old.id));
    this.strangerInOffice = strangerOnly(observation.agent);
    this.strangerAsNext = strangerOnly(observation.next);
  }

  ageOf(container: Observed): number {
    const age = container.startedAt === undefined ? 0 : this.#observation.now - container.startedAt;
    return Math.max(age, this.#experience.watched.get(container.id) ?? 0);
  }

  fitnessOf(container: Observed): Fitness {
    if (container.corpse || container.startFailed || this.#experience.rejected.has(container.id))
      return 'broken';
    switch (container.state) {
      case 'created':
        return 'fresh';
      case 'running':
        if (this.ageOf(container) >= this.patience.verifyMs) return 'sound';
        return container.restartCount > 0 ? 'shaky' : 'young';
      case 'paused':
        return 'sound';
      case 'exited':
        return 'stopped';
      case 'restarting':
      case 'dead':
      case 'removing':
        return 'broken';
    }
  }

  /** Something of ours that still lies about and may be removable. */
  corpseToDiscard(): Observed | undefined {
    return this.#observation.previous.find(
      (observed) => observed?.corpse === true && observed.ours && this.canBeRemoved(observed),
    );
  }

  freeSlot(): number {
    return this.#observation.previous.findIndex((observed) => observed === undefined);
  }

  canBeRemoved(container: Observed): boolean {
    return !this.#experience.unremovable.has(container.id);
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
  return container.digest === goal.digest && container.imageId === goal.imageId && !container.corpse;
}

function planReplacement(scene: Scene, goal: Replacement): Step {
  const { agent, next, olds } = scene;
  const stranger = scene.strangerInOffice ?? scene.strangerAsNext;
  if (stranger !== undefined) return { do: 'fail', why: 'stranger-in-role', container: stranger };
  if (agent !== undefined && isWanted(agent, goal)) return planFinish(scene, agent);
  if (next === undefined) return planBeginning(scene);
  if (!isWanted(next, goal)) {
    const isLast = agent === undefined && olds.length === 0 && !next.corpse;
    return isLast ? { do: 'promote', container: next } : discardNext(scene, next);
  }
  return planRelief(scene, next, goal.standsBy) ?? planTakeOver(scene, next);
}

/** The agent is the one that was asked for: it must be the only one that acts, be sound, and then the rest goes. */
function planFinish(scene: Scene, agent: Observed): Step {
  const fitness = scene.fitnessOf(agent);
  const hasWayBack = scene.olds.length > 0;
  if (fitness === 'broken' || (fitness === 'shaky' && hasWayBack)) {
    return { do: 'fail', why: 'agent-does-not-run', container: agent };
  }
  const acting = scene.olds.find(isUp);
  if (acting !== undefined) return { do: 'stop', container: acting };
  if (fitness === 'fresh' || fitness === 'stopped') return { do: 'start', container: agent };
  if (fitness === 'young' || fitness === 'shaky') return { do: 'verify', container: agent };
  return planTidying(scene, agent);
}

/** Nothing of the new one is there yet: settle what an earlier upgrade left, make sure there is a way back, begin. */
function planBeginning(scene: Scene): Step {
  if (scene.olds.length > 0) {
    const settling = planSettling(scene);
    if (settling.do !== 'done' && settling.do !== 'fail') return settling;
  }
  if (scene.agent !== undefined && scene.freeSlot() < 0) return { do: 'fail', why: 'set-aside-names-taken' };
  return { do: 'create-next' };
}

/** Brings the next one up, if it can stand by, before the old one is touched. Undefined: it may take over. */
function planRelief(scene: Scene, next: Observed, canStandBy: boolean): Step | undefined {
  const fitness = scene.fitnessOf(next);
  if (fitness === 'broken' || fitness === 'shaky') {
    return { do: 'fail', why: 'next-does-not-run', container: next };
  }
  if (!canStandBy) {
    // An old engine starts a created container at boot; one that can't stand by acts at once beside the agent.
    const actsBesideAgent = isUp(next) && scene.agent !== undefined && isUp(scene.agent);
    return actsBesideAgent ? discardNext(scene, next) : undefined;
  }
  if (fitness === 'fresh' || fitness === 'stopped') return { do: 'start', container: next };
  return scene.ageOf(next) < scene.patience.standByMs ? { do: 'stand-by', container: next } : undefined;
}

function planTakeOver(scene: Scene, next: Observed): Step {
  const { agent } = scene;
  if (agent !== undefined) {
    // Looked at before the agent is stopped: with nowhere to set it aside, nothing may be touched.
    if (scene.freeSlot() < 0) return { do: 'fail', why: 'set-aside-names-taken' };
    return isUp(agent) ? { do: 'stop', container: agent } : planSettingAside(scene, agent);
  }
  const acting = scene.olds.find(isUp);
  if (acting !== undefined) return { do: 'stop', container: acting };
  return { do: 'promote', container: next };
}

function planSettingAside(scene: Scene, agent: Observed): Step {
  if (agent.corpse && scene.canBeRemoved(agent)) return { do: 'discard', container: agent };
  const slot = scene.freeSlot();
  if (slot < 0) return { do: 'fail', why: agent.corpse ? 'name-held-by-corpse' : 'set-aside-names-taken' };
  return { do: 'set-aside', container: agent, slot };
}

/** One agent of those that are there. */
function planSettling(scene: Scene): Step {
  const { agent } = scene;
  if (agent === undefined || agent.corpse) return planSuccession(scene, agent);
  const fitness = scene.fitnessOf(agent);
  if (scene.olds.length > 0) return planBesideOlds(scene, agent, fitness);
  if (fitness === 'broken') return planWithBrokenAgent(scene, agent);
  if (fitness === 'shaky') return { do: 'verify', container: agent };
  if (fitness === 'fresh' || fitness === 'stopped') return { do: 'start', container: agent };
  if (scene.ageOf(agent) < scene.patience.standByMs) return { do: 'stand-by', container: agent };
  return planTidying(scene, agent);
}

/** A way back exists. The one in office keeps it if it is sound or becomes so; otherwise the old one returns. */
function planBesideOlds(scene: Scene, agent: Observed, fitness: Fitness): Step {
  if (fitness === 'sound' || fitness === 'young') {
    const acting = scene.olds.find(isUp);
    if (acting !== undefined) return { do: 'stop', container: acting };
    return fitness === 'sound' ? planTidying(scene, agent) : { do: 'verify', container: agent };
  }
  if (scene.canBeRemoved(agent)) return { do: 'discard', container: agent };
  return planSettingAside(scene, agent);
}

/** Docker keeps restarting it; there is nothing better on this host, unless one stands by. */
function planWithBrokenAgent(scene: Scene, agent: Observed): Step {
  if (scene.next !== undefined) return discardNext(scene, scene.next);
  return { do: 'fail', why: 'agent-does-not-run', container: agent };
}

/** Nobody is in office: the best of the old ones, else the next one. */
function planSuccession(scene: Scene, corpse: Observed | undefined): Step {
  if (scene.strangerInOffice !== undefined) return planBesideStranger(scene, scene.strangerInOffice);
  const [best, ...others] = [...scene.olds].sort((a, b) => rank(b) - rank(a));
  const spare = others.find((old) => scene.canBeRemoved(old));
  if (spare !== undefined) return { do: 'discard', container: spare };
  const successor = best ?? scene.next;
  if (successor === undefined) return { do: 'fail', why: 'no-agent', ...(corpse && { container: corpse }) };
  if (corpse !== undefined) return planSettingAside(scene, corpse);
  return { do: 'promote', container: successor };
}

/** The agent's name is a stranger's: the host keeps an agent under whatever name it has, and a person must look. */
function planBesideStranger(scene: Scene, stranger: Observed): Step {
  const ours = [...scene.olds].sort((a, b) => rank(b) - rank(a))[0] ?? scene.next;
  const fitness = ours === undefined ? undefined : scene.fitnessOf(ours);
  if (ours !== undefined && (fitness === 'fresh' || fitness === 'stopped'))
    return { do: 'start', container: ours };
  return { do: 'fail', why: 'stranger-in-role', container: stranger };
}

/** Prefers one that runs, then the one that ran last. */
function rank(container: Observed): number {
  return (isUp(container) ? 1e15 : 0) + (container.startedAt ?? 0);
}

/** The agent is sound: everything else goes, and what can't be removed is named in the end. */
function planTidying(scene: Scene, agent: Observed): Step {
  const rest = [scene.next, ...scene.olds, scene.corpseToDiscard()];
  const discarded = rest.find((container) => container !== undefined && scene.canBeRemoved(container));
  return discarded === undefined ? { do: 'done', agent } : { do: 'discard', container: discarded };
}

/** A next one that can't be removed blocks every upgrade: its name is the only one we create under. */
function discardNext(scene: Scene, next: Observed): Step {
  if (scene.canBeRemoved(next)) return { do: 'discard', container: next };
  const slot = scene.freeSlot();
  return slot < 0
    ? { do: 'fail', why: 'set-aside-names-taken', container: next }
    : { do: 'set-aside', container: next, slot };
}
