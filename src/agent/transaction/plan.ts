import type { Observation, Observed } from './observe.ts';
import { isUp, Situation } from './situation.ts';
import type { Fail, Goal, History, ReplaceGoal, Step, Timeouts } from './steps.ts';

/**
 * Decides the next step, from the observed containers alone. If a worker is killed, the next one observes the host and plans
 * again.
 *
 * Every step keeps these invariants:
 * - an agent's container is stopped only when its replacement exists and, if it can be on standby, is up;
 * - a container is removed only while another one holds the keys, unless the host never had an agent before;
 * - a container with other keys neither replaces an agent nor is removed for it, unless one was created to replace the other;
 * - at most one container works as the agent: a container becomes active only after the others are stopped;
 * - unmanaged containers are never touched.
 */

/** Plans the next step towards a goal. */
export function planStep(observation: Observation, goal: Goal, history: History, timeouts: Timeouts): Step {
  const situation = new Situation(observation, history, timeouts, goal);
  return goal.kind === 'reconcile' ? planReconciling(situation) : planReplacement(situation, goal);
}

function isWanted(container: Observed, goal: ReplaceGoal): boolean {
  const isSame = container.digest === goal.digest && container.imageId === goal.imageId;
  return isSame && !container.isDead && !container.removalStarted;
}

function planReplacement(situation: Situation, goal: ReplaceGoal): Step {
  const { agent, next, olds } = situation;
  const unmanaged = situation.unmanagedAgent;
  if (unmanaged !== undefined) return { do: 'fail', why: 'unmanaged-in-role', container: unmanaged };
  if (agent !== undefined && isWanted(agent, goal)) return planFinish(situation, agent);
  const isTakingOver = agent === undefined && next !== undefined && isWanted(next, goal);
  if (olds.length > 0 && !isTakingOver) {
    // The containers that an upgrade to another image left are reconciled first.
    const reconciling = planReconciling(situation);
    if (reconciling.do !== 'done') return reconciling;
  }
  if (next === undefined) return planBeginning(situation);
  if (!isWanted(next, goal) || !situation.canBeRemoved(next)) {
    const isLast = (agent === undefined || agent.isDead) && olds.length === 0 && !next.isDead;
    if (isLast) return planSuccession(situation, agent);
    const clearing = discardNext(situation, next);
    return clearing.do === 'fail' && situation.isSpareNeeded(next) ? planBeginning(situation) : clearing;
  }
  return planRelief(situation, next, goal) ?? planTakeOver(situation, next);
}

/**
 * The agent already matches the request. It must be the only one that works, and be healthy; then the others are removed.
 */
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

/** There is no next agent yet: make sure that a rollback is possible, then create it. */
function planBeginning(situation: Situation): Step {
  const { agent } = situation;
  const nextIndex = situation.freeNextIndex();
  if (nextIndex < 0) return { do: 'fail', why: 'next-names-taken' };
  const preparing = agent === undefined || agent.isDead ? undefined : planBeforeStop(situation, agent);
  return preparing ?? { do: 'create-next', nextIndex };
}

/** Starts the next agent on standby, if it can be, before the old one is touched. Undefined: it may be promoted. */
function planRelief(
  situation: Situation,
  next: Observed,
  { canStandBy, checksReadiness }: Pick<ReplaceGoal, 'canStandBy' | 'checksReadiness'>,
): Step | undefined {
  const fitness = situation.fitnessOf(next);
  if (canStandBy && checksReadiness && situation.mayStillProve(next)) return { do: 'ready', container: next };
  if (fitness === 'broken' || fitness === 'shaky') {
    return { do: 'fail', why: 'next-does-not-run', container: next };
  }
  if (!canStandBy) {
    // An old engine starts a created container at boot. If it cannot be on standby, it then works beside the agent.
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
  const preparing = planBeforeStop(situation, agent);
  if (preparing !== undefined) return preparing;
  return isUp(agent) ? { do: 'stop', container: agent } : planParking(situation, agent);
}

/**
 * Checks before the agent is stopped: if no parking name is free, or if another container would keep the replacement from
 * working, nothing may be touched. Undefined: neither is the case.
 */
function planBeforeStop(situation: Situation, agent: Observed): Step | undefined {
  const other = situation.activeBeside(agent);
  if (other !== undefined && !situation.canBeRemoved(other)) {
    return { do: 'fail', why: 'other-agent-does-not-stop', container: other };
  }
  return planFreeingName(situation);
}

/** Gives the agent's name, which is free, to a container; other working agents are stopped first. */
function planPromotion(situation: Situation, successor: Observed): Step {
  if (!situation.canBeRenamed(successor)) {
    return planInPlace(situation, { do: 'fail', why: 'name-not-free', container: successor });
  }
  return planStoppingOthers(situation, successor) ?? { do: 'promote', container: successor };
}

/** Makes sure that a container works as the agent, and no other one. Undefined: this is so. */
function planBringingUp(situation: Situation, container: Observed): Step | undefined {
  const stopping = planStoppingOthers(situation, container);
  if (stopping !== undefined) return stopping;
  return isUp(container) ? undefined : { do: 'start', container };
}

/** Stops any other container that works as the agent. Undefined: there is none, or it cannot be stopped and both work. */
function planStoppingOthers(situation: Situation, container: Observed): Step | undefined {
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

/** Frees a parking name. Undefined: one is free. */
function planFreeingName(situation: Situation): Step | undefined {
  if (situation.freeParkedIndex() >= 0) return undefined;
  const container = situation.findRubbish();
  return container === undefined ? { do: 'fail', why: 'parked-names-taken' } : { do: 'discard', container };
}

/** Plans towards one healthy agent out of the containers that are there. */
function planReconciling(situation: Situation): Step {
  const { agent } = situation;
  if (agent === undefined || agent.isDead) return planSuccession(situation, agent);
  const fitness = situation.fitnessOf(agent);
  // An adopted container never counts as an agent while there is a real one.
  const hasFailed =
    fitness === 'broken' || fitness === 'shaky' || agent.removalStarted || agent.adopted === true;
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
 * Frees the agent's name for an old agent, by a rename. A removal would take time, and if it failed it would leave a dead
 * container, which old engines cannot even rename (engine-notes §3).
 */
function planDemotion(situation: Situation, agent: Observed): Step {
  const container = agent;
  if (!situation.canBeRenamed(agent)) {
    if (situation.canBeRemoved(agent)) return { do: 'discard', container };
    return planInPlace(situation, { do: 'fail', why: 'name-not-free', container });
  }
  const { next, olds } = situation;
  const nextIndex = situation.freeNextIndex();
  if (next === undefined && nextIndex >= 0) return { do: 'demote', container, nextIndex };
  const freeing = planFreeingName(situation);
  if (freeing?.do === 'fail') {
    if (next !== undefined && situation.isSpareNeeded(next)) return { do: 'demote', container, nextIndex };
    const isInTheWay = next !== undefined && olds.length > 0 && situation.canBeRemoved(next);
    return isInTheWay ? { do: 'discard', container: next } : planInPlace(situation, freeing);
  }
  return freeing ?? { do: 'demote', container, parkedIndex: situation.freeParkedIndex() };
}

/** Docker keeps restarting it. This host has nothing better, except perhaps the next agent. */
function planWithBrokenAgent(situation: Situation, agent: Observed): Step {
  const { next } = situation;
  if (next === undefined) return { do: 'fail', why: 'agent-does-not-run', container: agent };
  const isFit = situation.fitnessOf(next) !== 'broken' && situation.fitnessOf(next) !== 'shaky';
  // Its keys may be the only ones that still work: a person decides.
  if (!situation.hasKeysOf(agent, next)) return { do: 'fail', why: 'agent-does-not-run', container: agent };
  const isRelief = isFit && !next.removalStarted && situation.canBeRemoved(agent);
  const takeOver = isRelief ? planTakeOver(situation, next) : undefined;
  if (takeOver !== undefined && takeOver.do !== 'fail') return takeOver;
  // On a full disk nothing can be renamed or started: keep an agent that runs, whatever its name is.
  if (isFit && isUp(next) && !isUp(agent)) return { do: 'fail', why: 'agent-does-not-run', container: agent };
  return discardNext(situation, next);
}

/** No agent is active: choose a next agent that is ready, else the best old agent, else the next agent. */
function planSuccession(situation: Situation, isDead: Observed | undefined): Step {
  const proving = planProof(situation);
  if (proving !== undefined) return proving;
  const [successor] = rankSuccessors(situation);
  const unmanaged = situation.unmanagedAgent;
  if (unmanaged !== undefined) {
    // The host keeps an agent, whatever its name is, and a person must act.
    return planInPlace(situation, { do: 'fail', why: 'unmanaged-in-role', container: unmanaged });
  }
  if (successor === undefined) return { do: 'fail', why: 'no-agent', ...(isDead && { container: isDead }) };
  if (isDead === undefined) return planPromotion(situation, successor);
  const parking = planParking(situation, isDead);
  return parking.do === 'fail' ? planDemotion(situation, isDead) : parking;
}

/**
 * After a power cut between parking and promotion, the next agent must prove again that it can serve. Then it is promoted;
 * otherwise the parked agent comes back (readiness §4). Undefined: it has proven it, or nothing is to be proven.
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
 * The agent's name cannot be freed: an agent that works under another name is better than none. One that can only be on
 * standby there at least runs, and starts a worker that finishes the transaction later.
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

/** Prefers, in this order: not broken, always managed, active, an old agent, running, ran last. */
function rankSuccessors(situation: Situation): readonly Observed[] {
  const { olds, removalStarted, next } = situation;
  const candidates = [...olds, ...(next === undefined || next.isDead ? [] : [next]), ...removalStarted];
  const rank = (container: Observed): readonly number[] => [
    Number(situation.fitnessOf(container) !== 'broken'),
    Number(container.adopted !== true),
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

/** The agent is healthy: all other containers are removed, and those that cannot be removed are reported at the end. */
function planTidying(situation: Situation, agent: Observed): Step {
  const olds = situation.keepsParked(agent) ? [] : situation.olds;
  const rest = [
    situation.next,
    ...situation.otherNexts,
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

/** A next agent that cannot be removed keeps the name that the new container needs. */
function discardNext(situation: Situation, next: Observed): Step {
  return situation.canBeRemoved(next) ? { do: 'discard', container: next } : planParking(situation, next);
}
