import * as v from 'valibot';
import { describeUrl } from '../../../control-plane/url.ts';
import type { ContainerDetails } from '../../../engine/engine.ts';
import { readInside } from '../../../host/read-inside.ts';
import { deadlineIn, type Deadline } from '../../../support/deadline.ts';
import { messageOf, type OutcomeDetails } from '../../../support/errors.ts';
import { HoldError, NotProvenError, NotReadyError } from '../../transaction/not-ready.ts';
import {
  findKeyHolder,
  oldAgents,
  startOf,
  type Observation,
  type Observed,
} from '../../transaction/observe.ts';
import {
  readinessFile,
  readinessResultSchema,
  type ReadinessFailure,
  type ReadinessResult,
} from '../../run/readiness/result.ts';
import type { Work } from '../session.ts';
import { compareReach, Results, withOwnProxy } from './compare.ts';
import { readReadyAnswer } from './reach.ts';
import { judgeReadiness, type Reach, type Refusal, type Situation, type Verdict } from './judge.ts';
import { NextStarts, type Sight } from './next-starts.ts';
import { askRequirement } from './requirement.ts';

/** How the agent passed the gate, for the state. */
export interface Passage {
  /** Why the agent was promoted although it had not proven that it can serve; undefined: it had. */
  readonly failure?: ReadinessFailure;
  /** No agent ran before: the parked one stays until the new one serves. */
  readonly isRescue: boolean;
  /** The start of the next agent that may be promoted; left out where the server was not asked. */
  readonly start?: string;
}

export interface Gate {
  readonly work: Work;
  /** `upgrade --offline`: the server is not asked. */
  readonly offline: boolean;
  /** The image that the agent is to be created from, as the server or person named it. */
  readonly target: string;
  /** Whether the goal is to reconcile what an interrupted upgrade left. */
  readonly isReconciling: boolean;
  /** Aborted when the worker's own time is up. */
  readonly lifetime: AbortSignal;
}

/**
 * Waits until a next agent may be promoted.
 * @throws NotReadyError, NotProvenError when it may not; HoldError when it stays on standby; the signal's reason
 */
export async function awaitReadiness(gate: Gate, next: Observed, observation: Observation): Promise<Passage> {
  const { work } = gate;
  if (gate.offline) return { isRescue: findActive(observation) === undefined };
  const active = findActive(observation);
  const situation = await situationOf(gate, observation, active);
  const isRescue = situation === 'no-agent-runs';
  await work.reporter.working(describeWait(next, situation), 'ready');
  const wait = new Wait(gate, next, active, situation);
  for (;;) {
    work.signal.throwIfAborted();
    if (situation === 'legacy-waits') await requireStillWanted(gate, active);
    const { verdict, start } = await wait.look();
    switch (verdict.do) {
      case 'promote':
        return { isRescue, start };
      case 'promote-anyway':
        return { isRescue, start, failure: verdict.failure };
      case 'measure':
        await wait.measure();
        continue;
      case 'refuse':
        throw refusal(gate, situation, verdict.failure, verdict.why);
      case 'defer':
        throw deferral(verdict);
      case 'try-again':
        await pause(gate, situation, wait.failure);
    }
  }
}

/** One wait for a next agent: what its present start has reported, and what is known about the old agent. */
class Wait {
  readonly #gate: Gate;
  readonly #next: Observed;
  readonly #active: Observed | undefined;
  readonly #situation: Situation;
  readonly #starts: NextStarts;
  readonly #results = new Results();
  #deadline: Deadline;
  #start: string;
  #last: ReadinessResult | undefined;
  #measured: { readonly about: 'server' | 'keys'; readonly reach: Reach } | undefined;

  constructor(gate: Gate, next: Observed, active: Observed | undefined, situation: Situation) {
    this.#gate = gate;
    this.#next = next;
    this.#active = active;
    this.#situation = situation;
    this.#starts = new NextStarts(gate.work, next);
    this.#start = next.start ?? '';
    this.#deadline = this.#newDeadline();
  }

  get failure(): ReadinessFailure | undefined {
    return this.#last?.failure;
  }

  /** Reads the newest result of the present start, and judges it. */
  async look(): Promise<{ readonly verdict: Verdict; readonly start: string }> {
    const sight = await this.#see();
    if (sight.runs) {
      this.#start = startOf(sight.details);
      if (sight.isNew) this.#beginAgain();
      const result = await readResult(this.#gate.work, sight.details, this.#deadline);
      if (result !== undefined) this.#add(result);
    }
    return { verdict: sight.runs ? this.#judge() : { do: 'try-again' }, start: this.#start };
  }

  async #see(): Promise<Sight> {
    try {
      return await this.#starts.look();
    } catch (error) {
      if (!(error instanceof NotReadyError) || this.#situation !== 'legacy-waits') throw error;
      throw noActiveAgent(this.#gate, error.code, error.message, error.hint);
    }
  }

  async measure(): Promise<void> {
    const about = this.#about();
    const reach = await compareReach(this.#gate.work, this.#active, this.#last?.server ?? '', about);
    this.#measured = { about, reach };
  }

  /** What the decision depends on now: a measurement that was made for another question is too old for this one. */
  #about(): 'server' | 'keys' {
    return this.failure?.fault === 'keys' ? 'keys' : 'server';
  }

  /** What an earlier process has reported says nothing about this one. */
  #beginAgain(): void {
    this.#last = undefined;
    this.#deadline = this.#newDeadline();
  }

  #newDeadline(): Deadline {
    const { clock, configuration } = this.#gate.work;
    return deadlineIn(configuration.limits.READY, clock);
  }

  #add(result: ReadinessResult): void {
    const { failure } = result;
    this.#results.add(result);
    this.#last =
      failure === undefined
        ? result
        : { ...result, failure: withOwnProxy(failure, this.#next, this.#active) };
  }

  /** Without any result, the image is not proven to be at fault: the host may be slow. */
  #judge(): Verdict {
    const timeIsUp = this.#deadline.left() === 0;
    if (this.#last === undefined && !timeIsUp) return { do: 'try-again' };
    const result = this.#last ?? { ready: false, failure: noAnswer };
    const answers = this.#results.compare(result.failure?.check ?? 'programs');
    const reach = this.#measured?.about === this.#about() ? this.#measured.reach : undefined;
    return judgeReadiness({ result, situation: this.#situation, timeIsUp, reach, answers });
  }
}

const noAnswer: ReadinessFailure = {
  check: 'programs',
  fault: 'server',
  cause: 'ready-no-answer',
  message: 'the next agent did not report whether it can serve',
  hint: 'the host may be overloaded: uptime; during the next try, docker logs -f rancher-agent-next shows more',
};

/** The agent that runs, whatever its name is: the one to compare with and to protect. */
function findActive(observation: Observation): Observed | undefined {
  const candidates = [observation.agent, ...oldAgents(observation)];
  return candidates.find((each) => each?.managed === true && each.state === 'running');
}

async function situationOf(
  gate: Gate,
  observation: Observation,
  active: Observed | undefined,
): Promise<Situation> {
  if (gate.isReconciling) return 'reconciling';
  const holder = findKeyHolder({ ...observation, next: undefined, nexts: [] });
  if (holder === undefined) return 'first-agent';
  if (active === undefined) return 'no-agent-runs';
  if (active.canStandBy) return 'agent-serves';
  return (await doesLegacyWait(gate, active)) ? 'legacy-waits' : 'agent-serves';
}

/**
 * A legacy agent does not work while its server requires another image. If the server cannot be asked, it matters who asked
 * for the upgrade: the server's script does so only in that case.
 */
async function doesLegacyWait({ work }: Gate, legacy: Observed): Promise<boolean> {
  const required = await askRequirement(work, legacy);
  if (required === 'unknown') return work.askedBy === 'server';
  return required !== undefined && required !== legacy.image;
}

/** Stops if the server requires the legacy image again: the legacy agent continues as soon as no other agent blocks it. */
async function requireStillWanted({ work, target }: Gate, agent: Observed | undefined): Promise<void> {
  if (agent === undefined) return;
  const required = await askRequirement(work, agent);
  if (required !== agent.image) return;
  throw new NotProvenError(
    'requirement-withdrawn',
    `the server requires ${agent.image} again, and not ${target} any more`,
    { hint: 'nothing: the present agent continues automatically' },
  );
}

/**
 * Reads the result from the file inside the container or, if that cannot be read, from the command `ready` by exec. A result
 * counts only for this start of the container, and only for 30 s: Docker 1.10.3 starts a created container, and `docker
 * commit` copies files.
 */
async function readResult(
  work: Work,
  now: ContainerDetails,
  deadline: Deadline,
): Promise<ReadinessResult | undefined> {
  const { clock, configuration } = work;
  const { limits, paths } = configuration;
  try {
    const { pid = 0 } = now;
    const file = { proc: paths.proc, pid, path: readinessFile, maxBytes: limits.READY_BYTES };
    const text = pid === 0 ? undefined : await readInside({ ...file, deadlineMs: limits.HOST_FILE });
    if (text === undefined) return undefined;
    const parsed = v.safeParse(readinessResultSchema, JSON.parse(text));
    if (!parsed.success) throw new Error(`${readinessFile} is damaged`);
    const result = parsed.output;
    const isOfThisStart =
      result.container === now.id &&
      result.restartCount === now.restartCount &&
      result.startedAt === now.startedAt;
    const age = clock.elapsed() - result.checkedAt;
    return isOfThisStart && age >= 0 && age <= limits.READY_FRESH ? result : undefined;
  } catch (error) {
    work.log.debug('the readiness file cannot be read; asking by exec', { error: messageOf(error) });
    return await askByExec(work, now.id, deadline);
  }
}

/** If the engine cannot execute a command, this shows nothing about the image: there is no result. */
async function askByExec(
  { engine, configuration, log, signal }: Work,
  id: string,
  deadline: Deadline,
): Promise<ReadinessResult | undefined> {
  const { INSPECT, READY_EXEC, READY_BYTES } = configuration.limits;
  const deadlineMs = Math.max(INSPECT, Math.min(READY_EXEC, deadline.left()));
  const command = ['/run.sh', 'ready', '--json'] as const;
  try {
    const answer = await engine.execute(id, { command, deadlineMs, maxBytes: READY_BYTES, signal });
    return readReadyAnswer(answer.stdout);
  } catch (error) {
    signal.throwIfAborted();
    log.debug('the next agent could not be asked by exec', { error: messageOf(error) });
    return undefined;
  }
}

/** Only the file is read this often; the next agent asks its server every 5 to 30 s. */
async function pause(gate: Gate, situation: Situation, failure: ReadinessFailure | undefined): Promise<void> {
  const { work, lifetime } = gate;
  const { limits } = work.configuration;
  const ms = situation === 'legacy-waits' ? limits.REQUIREMENT_POLL : limits.READY_POLL;
  try {
    await work.clock.sleep(ms, AbortSignal.any([work.signal, lifetime]));
  } catch (error) {
    work.signal.throwIfAborted();
    if (!lifetime.aborted || situation !== 'legacy-waits') throw error;
    const problem = failure ?? noAnswer;
    throw new HoldError(problem.cause, `${sentenceOf(problem)}; NO agent is active on this host meanwhile`, {
      ...detailsOf(problem),
      hint: `${problem.hint === undefined ? '' : `${problem.hint}; `}the next agent stays on standby, and the next try continues with it`,
    });
  }
}

function deferral({ failure, why }: Verdict & { do: 'defer' }): NotProvenError {
  if (why === undefined) return new NotProvenError(failure.cause, sentenceOf(failure), detailsOf(failure));
  return new NotProvenError(
    failure.cause,
    `${sentenceOf(failure)}; but not every answer of the server is like that`,
    {
      hint: 'perhaps one server behind a load balancer is broken: ask each of them for CATTLE_URL/scripts/bootstrap',
    },
  );
}

function refusal(gate: Gate, situation: Situation, failure: ReadinessFailure, why: Refusal): NotReadyError {
  const reasons: Readonly<Record<Refusal, string>> = {
    image: '',
    'old-agent-reaches-server': '; the old agent reaches the server',
    'keys-did-not-arrive': '; the server accepts the same keys from the old agent',
  };
  const sentence = `${sentenceOf(failure)}${reasons[why]}`;
  if (situation !== 'legacy-waits') return new NotReadyError(failure.cause, sentence, detailsOf(failure));
  return noActiveAgent(gate, failure.cause, sentence, failure.hint);
}

/** @param cause why the next agent cannot serve */
function noActiveAgent(gate: Gate, cause: string, sentence: string, hint: string | undefined): NotReadyError {
  return new NotReadyError(
    'no-active-agent',
    `${sentence}; NO agent is active on this host, because the server requires ${gate.target}`,
    { ...(hint !== undefined && { hint }), originalMessage: cause },
  );
}

function sentenceOf(failure: ReadinessFailure): string {
  return `the next agent cannot serve: ${failure.message}`;
}

function detailsOf({ hint }: ReadinessFailure): OutcomeDetails {
  return hint === undefined ? {} : { hint };
}

function describeWait(next: Observed, situation: Situation): string {
  const server = describeUrl(next.environment['CATTLE_URL'] ?? '');
  const nobody = situation === 'legacy-waits' ? '; no agent is active meanwhile' : '';
  return `waiting until ${next.name} has proven that it can serve ${server}${nobody}`;
}
