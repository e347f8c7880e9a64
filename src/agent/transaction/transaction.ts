import type { ContainerSpec } from '../../engine/engine.ts';
import { shortId } from '../../engine/containers.ts';
import { isEngineError, isOutage, isWorthRetrying } from '../../engine/errors.ts';
import { deadlineIn, formatDuration } from '../../support/deadline.ts';
import { CannotChangeError, messageOf } from '../../support/errors.ts';
import { doubling } from '../../support/retry.ts';
import { Ages } from './ages.ts';
import { performStep, UnremovableError, type ApplyContext, type UnremovableContainer } from './apply.ts';
import type { Holder } from './mount-holders.ts';
import {
  everyone,
  findKeyHolder,
  oldAgents,
  observeRoles,
  type Observation,
  type Observed,
} from './observe.ts';
import { planStep } from './plan.ts';
import { isUp } from './situation.ts';
import { RunHistory } from './run-history.ts';
import { describeStep, type Goal, type Step } from './steps.ts';
import { asUnavailable, explainFailure, explainStep } from './explain.ts';
import { HoldError } from './not-ready.ts';
import { keptForPersons, withoutRefused, withReplaced } from '../origin/keys.ts';
import type { Host } from '../host.ts';
import { labels } from '../identity/roles.ts';

/**
 * The transaction: observe, plan, do one idempotent step, observe again, until the plan says done.
 *
 * 1. create the next agent and leave it on standby: a failure up to here does not touch the old agent;
 * 2. stop the old agent, park it, promote the next one;
 * 3. watch the new agent for a while, then remove the old one.
 *
 * After any failure the goal becomes `reconcile`, which has its own time limit: the healthy agent stays or comes back, and
 * all other containers are removed. A run keeps no memory for the next run.
 */
export interface TransactionOptions extends Pick<Host, 'engine' | 'names' | 'limits' | 'clock' | 'log'> {
  readonly goal: Goal;
  /** The container that `create-next` creates; only a replacement needs it. */
  readonly nextSpec?: ContainerSpec;
  /** Which container has which role, if this was just observed. */
  readonly firstLook?: Observation;
  /** An unmanaged container that has the agent's name is replaced like an old agent (`--force`). */
  readonly adopt?: boolean;
  /** Ids of the containers in which we and our caller run: never stopped, renamed or removed. */
  readonly own?: readonly string[];
  /**
   * Called once, with the first observation. Says of a container whether its keys are for another server than this host's: it
   * is then left alone like an unmanaged one. Not asked about the agent.
   * @throws when the active agent itself is refused
   */
  readonly judgeKeys?: (first: Observation) => Promise<(container: Observed) => boolean>;
  /** Finds the processes that hold a container that could not be removed. */
  readonly holdersOf?: (container: Observed) => Promise<readonly Holder[]>;
  /** See `ApplyContext`; the observation is the one that the step was planned from. */
  readonly awaitReady?: (next: Observed, observation: Observation) => Promise<string | undefined>;
  readonly watchBootstrap?: (agent: Observed, observation: Observation) => Promise<'proven' | 'keep-parked'>;
  /** Masks secrets in what an agent wrote to its log. */
  readonly scrub?: (text: string) => string;
  /** Called before anything is created: may wait (back-off), or throw to refuse (storage low). */
  readonly beforeCreating?: (observation: Observation) => Promise<void>;
  /** Called before each step, for the status file. */
  readonly onStep?: (step: Step) => Promise<void>;
  /** Aborted by SIGTERM or when the worker's time is up. The current step is then finished, and the host has an agent. */
  readonly interrupted: AbortSignal;
}

export interface TransactionResult {
  /** Whether the transaction reached the goal that it was started with. */
  readonly reached: boolean;
  readonly agent: Observed | undefined;
  /** Whether the agent at the end has a process. */
  readonly agentRuns: boolean;
  /** Whether it restarts again and again, or was seen to fail. */
  readonly restarts: boolean;
  readonly unremovable: readonly UnremovableContainer[];
  /** Whether the agent that was active at the beginning was stopped at any time. */
  readonly touchedAgent: boolean;
  /** That agent was found stopped, and was started again. */
  readonly restartedAgent?: true;
  /** Whether it is that agent which is active now. */
  readonly isIncumbent: boolean;
  /** Why the goal was not reached. */
  readonly error: Error | undefined;
  /** The last log lines of the first agent that exited; absent if none did. */
  readonly lastLog?: readonly string[];
}

/** Runs a transaction to its end. Throws only if the engine cannot be asked any more. */
export async function runTransaction(options: TransactionOptions): Promise<TransactionResult> {
  return new Transaction(options).run();
}

class Transaction {
  readonly #options: TransactionOptions;
  readonly #history = new RunHistory();
  readonly #failures = new Map<string, number>();
  readonly #repeats = new Map<string, number>();
  readonly #ages: Ages;
  /** Ids of unmanaged containers that count as old agents; undefined without `--force`. */
  readonly #adopted: Set<string> | undefined;
  #goal: Goal;
  /** Id of the agent that was active at the beginning. */
  #incumbent: string | undefined;
  #isRefused: (container: Observed) => boolean = () => false;
  #touchedAgent = false;
  #restartedAgent = false;
  /** There is nothing more to do for now, and nothing to roll back. */
  #held: HoldError | undefined;
  #error: Error | undefined;

  constructor(options: TransactionOptions) {
    this.#options = options;
    this.#goal = options.goal;
    this.#ages = new Ages(options.clock);
    const seen = options.firstLook === undefined ? [] : everyone(options.firstLook);
    const adopted = seen.filter(({ adopted }) => adopted === true).map(({ id }) => id);
    this.#adopted = options.adopt === true ? new Set(adopted) : undefined;
  }

  async run(): Promise<TransactionResult> {
    for (let count = 0; count < this.#options.limits.TRANSACTION_STEPS; count += 1) {
      const isFirst = count === 0;
      const seen = (isFirst ? this.#options.firstLook : undefined) ?? (await this.#observe());
      if (isFirst) await this.#judgeKeys(seen);
      const observation = this.#ages.correct(withoutRefused(seen, this.#isRefused));
      if (isFirst) this.#incumbent = incumbentOf(observation);
      if (this.#held !== undefined) {
        this.#error ??= this.#held;
        return this.#result(observation, false);
      }
      if (this.#mayStop(observation)) return await this.#stopHere(observation);
      const step = planStep(observation, this.#goal, this.#history, this.#timeouts());
      if (step.do === 'done') return this.#result(observation, this.#error === undefined);
      if (step.do === 'fail') {
        if (!this.#rollBack(explainFailure(step, observation, this.#options.names)))
          return this.#result(observation, false);
        continue;
      }
      await this.#try(step, observation);
    }
    const observation = await this.#observe();
    this.#error ??= new CannotChangeError('the upgrade did not finish within its limit of steps', {
      hint: 'this is a defect: please report it with the log of this run',
    });
    return this.#result(observation, false);
  }

  /** Keys that are not this host's are neither used nor removed: a person has to know. */
  async #judgeKeys(first: Observation): Promise<void> {
    const { judgeKeys, log } = this.#options;
    if (judgeKeys !== undefined) this.#isRefused = await judgeKeys(first);
    for (const { name, why } of keptForPersons(first, this.#isRefused)) {
      log.warn(`${name} holds ${why}: it is left alone`, {
        hint: `if nobody needs them: docker rm -f ${name}`,
      });
    }
  }

  /** Does one step. If it fails, this decides: try again after a pause, report an unremovable container, or roll back. */
  async #try(step: Step, observation: Observation): Promise<void> {
    const key = describeStep(step);
    try {
      if (step.do === 'create-next') await this.#options.beforeCreating?.(observation);
      await this.#options.onStep?.(step);
      if ((step.do === 'stop' || step.do === 'discard') && step.container.id === this.#incumbent)
        this.#touchedAgent = true;
      this.#history.prepare(step);
      await performStep(step, this.#contextOf(observation));
      if (step.do === 'start' && step.container.id === this.#incumbent) this.#restartedAgent = true;
      this.#countRepeat(key, step);
    } catch (error) {
      await this.#weigh(step, key, error);
    }
  }

  #contextOf(observation: Observation): ApplyContext {
    const { awaitReady, watchBootstrap, nextSpec, ...options } = this.#options;
    return {
      ...options,
      history: this.#history,
      ...(nextSpec && { nextSpec: withReplaced(withFormerPolicy(nextSpec, observation), observation) }),
      ...(awaitReady && { awaitReady: async (next: Observed) => awaitReady(next, observation) }),
      ...(watchBootstrap && {
        watchBootstrap: async (agent: Observed) => watchBootstrap(agent, observation),
      }),
    };
  }

  async #weigh(step: Step, key: string, error: unknown): Promise<void> {
    if (error instanceof UnremovableError) {
      this.#history.unremovable.set(error.container.id, error.container);
      return;
    }
    if (error instanceof HoldError && this.#goal.kind === 'replace' && !this.#touchedAgent) {
      this.#held = error;
      return;
    }
    if (this.#isInterruption(error)) {
      // An agent whose bootstrap was still being watched is already verified: it stays, and so does the parked agent.
      if (step.do !== 'standby' && step.do !== 'ready' && step.do !== 'verify') return;
      // There is no time left to wait until a container has shown that it runs.
      const cause = explainStep(step, error);
      this.#rollBack(cause);
      this.#history.giveUp(step, messageOf(cause));
      return;
    }
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    const { limits, log, clock } = this.#options;
    if ((isWorthRetrying(error) || isNameTaken(step, error)) && failures < limits.CALL_TRIES) {
      log.warn(`${key} failed, trying again`, { try: failures, error: messageOf(error) });
      await clock.sleep(doubling(limits.CALL_PAUSE, limits.CALL_PAUSE_MAX)(failures));
      return;
    }
    const cause = explainStep(step, error);
    // A dead next agent that keeps its name (1.10.3) blocks nothing: there is a spare name.
    const mayGoOn = step.do === 'park' && step.container.isDead && step.container.id !== this.#incumbent;
    const rollsBack = !mayGoOn && this.#rollBack(cause);
    // A rollback must not repeat a check that has just been done.
    const isAnswer = step.do === 'start' || step.do === 'ready' || step.do === 'watch';
    if (!rollsBack || isAnswer) this.#history.giveUp(step, messageOf(cause));
  }

  #isInterruption(error: unknown): boolean {
    return this.#options.interrupted.aborted && !isWorthRetrying(error) && !isEngineError(error);
  }

  /** Gives up the replacement and reconciles instead. @returns false if the goal was already to reconcile */
  #rollBack(error: Error): boolean {
    this.#error ??= error;
    if (this.#goal.kind === 'reconcile') return false;
    this.#options.log.error(`${messageOf(error)}: rolling back`);
    this.#goal = { kind: 'reconcile' };
    return true;
  }

  /** A step that succeeds and changes nothing would be planned for ever. */
  #countRepeat(key: string, step: Step): void {
    const repeats = (this.#repeats.get(key) ?? 0) + 1;
    this.#repeats.set(key, repeats);
    if (repeats < this.#options.limits.STEP_REPEATS) return;
    const error = new CannotChangeError(`${key}: done ${repeats} times without an error and without effect`, {
      hint: 'another program or person on this host undoes it',
    });
    if (step.do !== 'discard') this.#rollBack(error);
    this.#history.giveUp(step, messageOf(error));
  }

  /**
   * Interrupted, and the host has its former agent, or a new one that runs, or never had one. But a new agent that was not
   * watched to the end must not be left alone while a rollback is possible.
   */
  #mayStop(observation: Observation): boolean {
    if (!this.#options.interrupted.aborted) return false;
    const { agent, next } = observation;
    if (agent !== undefined && agent.id === this.#incumbent && !this.#touchedAgent) return true;
    if (agent !== undefined && isUp(agent)) return this.#wasWatched(agent) || !this.#canRollBack(observation);
    return everyone(observation).every((observed) => observed === next || !observed.managed);
  }

  #wasWatched(agent: Observed): boolean {
    return (this.#history.watched.get(agent.id) ?? 0) >= this.#options.limits.VERIFY;
  }

  #canRollBack(observation: Observation): boolean {
    return oldAgents(observation).some(
      (old) => old.managed && !old.removalStarted && !this.#history.unremovable.has(old.id),
    );
  }

  async #stopHere(observation: Observation): Promise<TransactionResult> {
    const reason: unknown = this.#options.interrupted.reason;
    this.#error ??= reason instanceof Error ? reason : new Error('interrupted');
    const { next, agent } = observation;
    const isAgentSafe = agent?.managed === true && !agent.isDead && agent.restartPolicy !== 'no';
    if (next?.managed === true && isAgentSafe && findKeyHolder(observation) !== next) {
      await this.#try({ do: 'discard', container: next }, observation);
    }
    return this.#result(await this.#observe(), false);
  }

  /** Observes the host; waits for an engine that restarts as long as the recovery time allows. */
  async #observe(): Promise<Observation> {
    const { engine, names, clock, limits, log } = this.#options;
    const deadline = deadlineIn(limits.RECOVERY, clock);
    for (;;) {
      try {
        return await observeRoles(engine, names, () => clock.now(), this.#adopted);
      } catch (error) {
        if (!isOutage(error)) throw error;
        if (deadline.left() === 0) throw asUnavailable(error);
        log.warn('the engine does not answer; looking again', {
          error: error.message,
          left: formatDuration(deadline.left()),
        });
        await clock.sleep(Math.min(limits.OBSERVE_PAUSE, deadline.left()));
      }
    }
  }

  #timeouts(): { verifyMs: number; standbyMs: number } {
    return { verifyMs: this.#options.limits.VERIFY, standbyMs: this.#options.limits.STANDBY };
  }

  #result(observation: Observation, reached: boolean): TransactionResult {
    const { agent } = observation;
    const [lastLog] = this.#history.lastLogs.values();
    return {
      reached,
      agent,
      agentRuns: agent?.managed === true && isUp(agent),
      restarts:
        agent?.state === 'restarting' || (agent !== undefined && this.#history.rejected.has(agent.id)),
      unremovable: this.#history.unremovableIn(observation),
      touchedAgent: this.#touchedAgent,
      ...(this.#restartedAgent && { restartedAgent: true }),
      isIncumbent: agent !== undefined && agent.id === this.#incumbent,
      error: this.#error,
      ...(lastLog === undefined ? {} : { lastLog }),
    };
  }
}

/** The next agent's label keeps the restart policy that the agent before it had, for a rollback. */
function withFormerPolicy(spec: ContainerSpec, { agent }: Observation): ContainerSpec {
  const policy = agent?.restartPolicy ?? '';
  if (agent === undefined || policy === '' || policy === 'always') return spec;
  const value = `${shortId(agent.id)}=${policy}`;
  return { ...spec, labels: { ...spec.labels, [labels.formerRestart]: value } };
}

/** Somebody has just taken the name that a container should get: the next observation shows who, and which name is free. */
function isNameTaken(step: Step, error: unknown): boolean {
  return isEngineError(error, 'conflict') && ['create-next', 'park', 'promote', 'demote'].includes(step.do);
}

function incumbentOf(observation: Observation): string | undefined {
  const { agent } = observation;
  return (agent ?? oldAgents(observation).find((old) => old.managed && isUp(old)))?.id;
}
