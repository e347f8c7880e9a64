import type { Observation, Observed } from './observe.ts';
import { isUp, Situation } from './situation.ts';
import type { Fail, Goal, History, ReplaceGoal, Step, Timeouts } from './steps.ts';

/**
 * The next step, decided from what is there and nothing else. Whoever comes next, after whatever died, looks and asks
 * again.
 *
 * What every step keeps:
 * - an agent's container is stopped only when its replacement exists and, if it can be on standby, is up;
 * - a container is discarded only while another one holds the keys, unless its host never had an agent before;
 * - at most one agent is active: one that is to become active waits until the others are stopped;
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
  if (situation.unmanagedNext !== undefined)
    return { do: 'fail', why: 'unmanaged-in-role', container: situation.unmanagedNext };
  const isTakingOver = agent === undefined && next !== undefined && isWanted(next, goal);
  if (olds.length > 0 && !isTakingOver) {
    // What an upgrade to something else left is reconciled first.
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

/** The agent is the one that was asked for: it must be the only active one, be sound, and then the rest goes. */
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

/** Nothing of the new one is there yet: make sure that a rollback is possible, and begin. */
function planBeginning(situation: Situation, name: 'first' | 'spare'): Step {
  const { agent } = situation;
  const preparing = agent === undefined || agent.isDead ? undefined : planBeforeStop(situation, agent);
  return preparing ?? { do: 'create-next', name };
}

/** Brings the next one up, if it can be on standby, before the old one is touched. Undefined: it may take over. */
function planRelief(
  situation: Situation,
  next: Observed,
  { canStandBy, checksReadiness }: Pick<ReplaceGoal, 'canStandBy' | 'checksReadiness'>,
): Step | undefined {
  const fitness = situation.fitnessOf(next);
  if (fitness === 'broken' || fitness === 'shaky') {
    return { do: 'fail', why: 'next-does-not-run', container: next };
  }
  if (!canStandBy) {
    // An old engine starts a created container at boot; one that cannot be on standby is active at once beside the agent.
    const isActiveBeside = isUp(next) && situation.agent !== undefined && isUp(situation.agent);
    return isActiveBeside ? { do: 'stop', container: next } : undefined;
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
 * Looked at before the agent is stopped: with nowhere to park it, or with one beside it that would keep its
 * replacement from being active, nothing may be touched. Undefined: neither is so.
 */
function planBeforeStop(situation: Situation, agent: Observed): Step | undefined {
  const other = situation.activeBeside(agent);
  if (other !== undefined && !situation.canBeRemoved(other)) {
    return { do: 'fail', why: 'other-agent-does-not-stop', container: other };
  }
  return planFreeingName(situation);
}

/** Gives the agent's name, which is free, to a container; the others are stopped first. */
function planPromotion(situation: Situation, successor: Observed): Step {
  if (!situation.canBeRenamed(successor)) {
    return planInPlace(situation, { do: 'fail', why: 'name-not-free', container: successor });
  }
  return planStoppingOthers(situation, successor) ?? { do: 'promote', container: successor };
}

/** Makes a container the only active one. Undefined: it is. */
function planBringingUp(situation: Situation, container: Observed): Step | undefined {
  const stopping = planStoppingOthers(situation, container);
  if (stopping !== undefined) return stopping;
  return isUp(container) ? undefined : { do: 'start', container };
}

/** Stops whoever is active beside a container. Undefined: nobody is, or the other one cannot be stopped and both are active. */
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

/** Makes room in the pool of parking names. Undefined: there is room. */
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
 * Frees the agent's name for an old one. Not by removing what has it: a removal takes time, and one that fails leaves
 * a dead container, which old engines cannot even rename (engine-notes §3).
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

/** Nobody is active: a next one that is ready, else the best of the old ones, else the next one. */
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
 * parked one comes back (readiness §4). Undefined: it has, or there is nothing to prove.
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
 * The agent's name cannot be had: better one that is active under another name than none. One that can only be on standby there
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

/** Prefers one that is not broken, one that was always managed, an active one, an old one, one that runs, one that ran last. */
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

/** The agent is sound: everything else goes, and what cannot be removed is named in the end. */
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

/** A next one that cannot be removed keeps the name under which we create. */
function discardNext(situation: Situation, next: Observed): Step {
  return situation.canBeRemoved(next) ? { do: 'discard', container: next } : planParking(situation, next);
}
