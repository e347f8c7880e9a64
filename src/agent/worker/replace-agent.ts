import {
  changeAttempts,
  findAttempt,
  lookUpAttempts,
  nextAttemptAt,
  noteAttempts,
  recordAbandon,
  recordBegin,
  recordFailure,
  recordSuccess,
} from '../../host/files/attempts.ts';
import type { EngineInfo } from '../../engine/engine.ts';
import type { RegistryAuth } from '../../engine/registry-auth.ts';
import type { HostFacts } from '../../host/inspection.ts';
import type { Environment } from '../../support/configuration.ts';
import { formatDuration } from '../../support/deadline.ts';
import { InterruptedError, TryAgainLaterError } from '../../support/errors.ts';
import { nameHolders } from '../transaction/mount-holders.ts';
import { judgeKeys } from '../origin/of-holder.ts';
import { concludeServer } from '../origin/origin.ts';
import type { Observation } from '../transaction/observe.ts';
import { judgeTransaction, type Outcome } from '../report/outcome.ts';
import { findFlapping, FlappingError, flappingHint } from './flapping.ts';
import type { Step } from '../transaction/steps.ts';
import { checksReadiness, labels, canStandBy } from '../identity/roles.ts';
import { buildAgentSpec, type AgentIngredients } from '../identity/agent-spec.ts';
import { hostSocketOf } from '../identity/host-socket.ts';
import { dockerRootOf, ensureStateContainer } from './state-container.ts';
import { chooseStateVolume } from '../identity/profile.ts';
import { requireStorage } from './storage-guard.ts';
import { createImageGuard } from '../images/guard.ts';
import { ensureImage, type Target } from './pull-image.ts';
import { findLogin } from './registry-login.ts';
import { reportStep } from '../report/reporter.ts';
import { runTransaction, type TransactionResult } from '../transaction/transaction.ts';
import type { Serving } from './proof/serving.ts';
import { createProof } from './proof/proof.ts';
import { withDeadWorkers } from './names/dead-workers.ts';
import type { Work } from './session.ts';
import { readOwnership } from './request.ts';

/** What an agent is to be created from. */
export interface Replacement {
  readonly target: Target;
  /** The environment with the agent keys and settings. */
  readonly environment: Environment;
  readonly facts: HostFacts;
  readonly info: EngineInfo;
  /** Which container has which role, if this was just observed. */
  readonly observation?: Observation;
  /** Whether failed attempts at this image cause a wait; a registration by a person does not wait. */
  readonly waitsOutBackOff: boolean;
}

/**
 * Preflight: is the image allowed, is there room, and is the image there? Nothing has been created yet.
 * @param present the environment of the agent that is to be replaced, if it has a say
 * @throws ImageNotAllowedError
 */
export async function prepareTarget(
  work: Work,
  targetImage: string,
  info: EngineInfo,
  present: Environment = {},
): Promise<Target> {
  const guard = await createImageGuard(work, present);
  guard.requireName(targetImage);
  await Promise.all([
    work.reporter.working('checking the storage', 'preflight'),
    requireStorage(work.configuration, info),
  ]);
  await work.reporter.working(`making sure that ${targetImage} is on this host`, 'pull');
  const { limits } = work.configuration;
  const login = async (): Promise<RegistryAuth | undefined> => findLogin(work, targetImage);
  const target = await ensureImage({ ...work, limits, login }, targetImage);
  guard.requireImage(target);
  return target;
}

/** Replaces the host's agent by one created from the target; see `transaction.ts`. */
export async function replaceAgent(work: Work, replacement: Replacement): Promise<Outcome> {
  const { engine, configuration, profile, names, clock, log } = work;
  const { target, environment, facts } = replacement;
  const spec = buildAgentSpec({
    profile,
    targetImage: target.targetImage,
    imageId: target.image.id,
    environment,
    varLibWritable: facts.varLibWritable,
    systemd: facts.systemd,
    hostSocket: await hostSocketOf(profile, environment, work.own, configuration.socketPath),
    // The worker was created without log settings.
    usualLogging: work.own.logging,
    ...(await provideState(work, replacement)),
  });
  let change: string | undefined;
  const lifetime = startLifetime(configuration.limits.WORKER_TOTAL);
  const proof = createProof({
    work,
    target: target.targetImage,
    isReconciling: false,
    lifetime: lifetime.signal,
    environment: configuration.environment,
    onReady: lifetime.end,
  });
  const replaced = await runTransaction({
    engine,
    names,
    limits: configuration.limits,
    clock,
    log,
    scrub: (text) => work.secrets.scrub(text),
    goal: {
      kind: 'replace',
      digest: spec.labels[labels.spec] ?? '',
      imageId: target.image.id,
      canStandBy: canStandBy(target.image.labels),
      checksReadiness: checksReadiness(target.image.labels),
    },
    nextSpec: spec,
    judgeKeys: async (first) => judgeKeys(work, first, { mayReplace: true }),
    ...(replacement.observation === undefined ? {} : { firstLook: replacement.observation }),
    beforeCreating: async ({ agent }) => {
      if (replacement.waitsOutBackOff) {
        await refuseFlapping(work, target.targetImage);
        await waitForBackOff(work, target.targetImage);
      }
      change = agent === undefined ? undefined : `upgrading from ${agent.image} to ${target.targetImage}`;
      if (change !== undefined) log.info(change);
      await changeAttempts(work, (attempts) =>
        recordBegin(attempts, target.targetImage, clock.now(), configuration.limits),
      );
    },
    onStep: async (step) => reportStep(work.reporter, step, withRemark(describeStep(step), change)),
    interrupted: AbortSignal.any([work.signal, lifetime.signal]),
    awaitReady: proof.awaitReady,
    watchBootstrap: proof.watchBootstrap,
    ...readOwnership(configuration.environment, work.container),
    holdersOf: async (container) => nameHolders(work, container),
  });
  lifetime.end();
  const result = await withDeadWorkers(work, replaced);
  const serving = result.reached ? await proof.conclude(result) : undefined;
  const outcome = await concludeAttempt(work, target.targetImage, result, serving);
  if (!result.reached) return outcome;
  if (result.agent !== undefined) await concludeServer(work, result.agent.environment);
  const isOtherName = result.agent?.image !== target.targetImage;
  const alias = isOtherName ? `${target.targetImage} is another name of the same image` : undefined;
  return { ...outcome, summary: withRemark(outcome.summary, change ?? alias) };
}

/**
 * Where the agent's state is to be: in a volume, or in the state container. A missing state container is created here,
 * because its volume shows where the Docker root is. It belongs to the host and not to this agent, so it stays even if the
 * rest fails.
 */
async function provideState(
  work: Work,
  { target, facts, info }: Replacement,
): Promise<Pick<AgentIngredients, 'stateVolume' | 'stateContainer' | 'dockerRoot'>> {
  const { engine, profile, names, configuration } = work;
  const stateVolume = await chooseStateVolume(engine, profile);
  if (names.states.length === 0) return { stateVolume };
  const { limits } = configuration;
  const { varLibWritable } = facts;
  const state = await ensureStateContainer(
    { ...work, limits },
    { image: target.targetImage, varLibWritable },
  );
  return { stateVolume, stateContainer: state.name, dockerRoot: dockerRootOf(state, info) };
}

function withRemark(summary: string, remark: string | undefined): string {
  return remark === undefined ? summary : `${summary}; ${remark}`;
}

/** The worker's time limit for waiting. The switch has its own limit, because it must not be interrupted in the middle. */
function startLifetime(ms: number): { readonly signal: AbortSignal; readonly end: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new TryAgainLaterError("the worker's time is up", { hint: 'the next try continues' }));
  }, ms);
  return {
    signal: controller.signal,
    end: () => {
      clearTimeout(timer);
    },
  };
}

async function concludeAttempt(
  work: Work,
  targetImage: string,
  result: TransactionResult,
  serving: Serving | undefined,
): Promise<Outcome> {
  const { clock, configuration } = work;
  const outcome = judgeTransaction(result, serving);
  if (result.reached) {
    await noteAttempts(work, (attempts) => recordSuccess(attempts, targetImage));
    return outcome;
  }
  if (result.error instanceof InterruptedError || result.error instanceof TryAgainLaterError) {
    await noteAttempts(work, (attempts) => recordAbandon(attempts, targetImage));
    return outcome;
  }
  const attempts = await noteAttempts(work, (before) =>
    recordFailure(before, targetImage, outcome.cause ?? 'unknown', clock.now(), configuration.limits),
  );
  const next = nextAttemptAt(findAttempt(attempts, targetImage), configuration.limits, clock.now());
  return next === undefined
    ? outcome
    : { ...outcome, next: `not tried again before ${new Date(next).toISOString()}` };
}

/**
 * Two servers require different images. The present agent keeps running. The worker also keeps running for a while, so that
 * a script that asks every few seconds creates nothing new.
 * @throws FlappingError
 */
async function refuseFlapping(work: Work, targetImage: string): Promise<void> {
  const { clock, configuration, log, reporter, signal } = work;
  const { limits } = configuration;
  const { history } = await lookUpAttempts(work);
  const flapping = findFlapping(history, targetImage, limits, clock.now());
  if (flapping === undefined) return;
  log.warn(flapping.sentence, { hint: flappingHint });
  await reporter.waiting(flapping.sentence, flapping.until);
  await clock.sleep(Math.min(limits.FLAPPING_PAUSE, Math.max(0, flapping.until - clock.now())), signal);
  throw new FlappingError(flapping);
}

/** The last attempt failed: waits here, so that callers find a worker and create nothing new. */
async function waitForBackOff(work: Work, targetImage: string): Promise<void> {
  const { clock, configuration, log, reporter, signal } = work;
  const record = findAttempt(await lookUpAttempts(work), targetImage);
  const now = clock.now();
  const next = nextAttemptAt(record, configuration.limits, now);
  if (next === undefined) return;
  const pause = next - now;
  const summary = `the last attempt at ${targetImage} failed (${record?.cause ?? 'interrupted'}): waiting`;
  log.warn(summary, { for: formatDuration(pause), until: new Date(next).toISOString() });
  await reporter.waiting(summary, next);
  await clock.sleep(pause, signal);
}

/** What a step does, for the status file. */
function describeStep(step: Step): string {
  const name = 'container' in step ? step.container.name : undefined;
  return name === undefined ? step.do : `${step.do} ${name}`;
}
