import { noteAttempts, recordSuccess } from '../../host/files/attempts.ts';
import type { HostStatus } from '../../host/files/status.ts';
import { reportedCause } from '../../support/errors.ts';
import { nameHolders } from '../transaction/mount-holders.ts';
import { judgeKeys } from '../origin/of-holder.ts';
import { concludeServer } from '../origin/origin.ts';
import { judgeTransaction, type Outcome } from '../report/outcome.ts';
import { endsWithServing } from '../run/serving/causes.ts';
import { reportStep } from '../report/reporter.ts';
import { runTransaction } from '../transaction/transaction.ts';
import { withDeadWorkers } from './names/dead-workers.ts';
import { createProof } from './proof/proof.ts';
import type { Work } from './session.ts';
import { readOwnership } from './request.ts';

/** The worker's `reconcile`: brings the containers of an interrupted transaction to one agent and no other container. */
export async function reconcileHost(work: Work): Promise<Outcome> {
  const { engine, names, configuration, clock, log } = work;
  const before = await work.reporter.readBefore();
  await work.reporter.working('reconciling what was left behind', 'reconcile');
  const lifetime = AbortSignal.timeout(configuration.limits.WORKER_TOTAL);
  const proof = createProof({
    work,
    target: '',
    isReconciling: true,
    lifetime,
    environment: configuration.environment,
    onReady: () => undefined,
  });
  const reconciled = await runTransaction({
    engine,
    names,
    limits: configuration.limits,
    clock,
    log,
    scrub: (text) => work.secrets.scrub(text),
    goal: { kind: 'reconcile' },
    judgeKeys: async (first) => judgeKeys(work, first, { mayReplace: false }),
    ...readOwnership(configuration.environment, work.container),
    holdersOf: async (container) => nameHolders(work, container),
    onStep: async (step) => reportStep(work.reporter, step, `reconciling: ${step.do}`),
    awaitReady: proof.awaitReady,
    watchBootstrap: proof.watchBootstrap,
    interrupted: AbortSignal.any([work.signal, lifetime]),
  });
  const result = await withDeadWorkers(work, reconciled);
  if (result.reached && result.agent !== undefined) {
    await concludeServer(work, result.agent.environment);
    const { image } = result.agent;
    // The running agent proves that its image works, even if a worker was killed before it could record that.
    await noteAttempts(work, (attempts) => recordSuccess(attempts, image));
  }
  const serving = result.reached ? await proof.conclude(result) : undefined;
  return keepFailure(before, judgeTransaction(result, serving));
}

/**
 * Whether an earlier state is kept: a failure, or a state that lasts until the agent serves, which only the agent may change.
 */
function isKept(before: HostStatus): boolean {
  return before.state === 'failed' || endsWithServing(before);
}

/** Cleaning up after a failed upgrade does not turn it into a success: the state keeps the failure. */
function keepFailure(before: HostStatus | undefined, outcome: Outcome): Outcome {
  const hasNothingNew = outcome.state === 'ok' || outcome.cause === 'serving-unknown';
  if (!hasNothingNew || before === undefined || !isKept(before)) return outcome;
  return {
    ...outcome,
    state: before.state,
    summary: before.summary,
    ...(before.cause === undefined ? {} : { cause: reportedCause(before.cause) }),
    ...(before.originalMessage === undefined ? {} : { originalMessage: before.originalMessage }),
    ...(before.hint === undefined ? {} : { hint: before.hint }),
    ...(before.lastLog === undefined ? {} : { lastLog: before.lastLog }),
    ...(before.until === undefined ? {} : { until: before.until }),
    next: before.next ?? `already reconciled: ${outcome.summary}`,
  };
}
