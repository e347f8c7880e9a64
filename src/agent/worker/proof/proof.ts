import { deadlineIn } from '../../../support/deadline.ts';
import type { Environment } from '../../../support/configuration.ts';
import type { Observation, Observed } from '../../transaction/observe.ts';
import type { TransactionOptions, TransactionResult } from '../../transaction/transaction.ts';
import type { Work } from '../session.ts';
import { workerVariables } from '../request.ts';
import { readServing, watchBootstrap } from './bootstrap-watch.ts';
import { awaitReadiness, type Gate, type Passage } from './gate.ts';
import { isUnanswered, servingOf, type Serving } from './serving.ts';

/** The proof that an agent serves, from standby to the end of a transaction: what the state may report about it. */
export interface Proof extends Required<Pick<TransactionOptions, 'awaitReady' | 'watchBootstrap'>> {
  /** What is known about the agent at the end. */
  conclude(result: TransactionResult): Promise<Serving>;
}

export interface ProofOptions extends Pick<Gate, 'work' | 'target' | 'isReconciling' | 'lifetime'> {
  /** The worker's own environment. */
  readonly environment: Environment;
  /** Called when the wait is over and the switch begins, which has its own time limit. */
  readonly onReady: () => void;
}

/** Proves one agent's readiness and serving for one transaction. */
export function createProof(options: ProofOptions): Proof {
  const offline = options.environment[workerVariables.offline] === 'true';
  let passage: Passage | undefined;
  let watched: Serving | undefined;
  return {
    async awaitReady(next: Observed, observation: Observation) {
      passage = await awaitReadiness({ ...options, offline }, next, observation);
      options.onReady();
      return passage.start;
    },
    async watchBootstrap(agent: Observed, observation: Observation) {
      if (offline) return 'proven';
      const wasReady = passage?.failure === undefined;
      // It is unknown whether an interrupted upgrade replaced a working agent: the parked agent stays until the new one
      // serves.
      const isRescue = passage?.isRescue ?? options.isReconciling;
      const { serving, parked } = await watchBootstrap(
        { work: options.work, wasReady, isRescue },
        agent,
        observation,
      );
      watched = serving;
      return parked;
    },
    async conclude({ agent }) {
      if (watched !== undefined) return explain(watched, passage);
      if (agent === undefined || agent.checksReadiness !== true) return unchecked(agent);
      if (offline && passage !== undefined) return notAsked;
      return servingNow(options.work, agent);
    },
  };
}

/** The check that failed on standby says more than the record of an agent that has just started. */
function explain(watched: Serving, passage: Passage | undefined): Serving {
  const failure = passage?.failure;
  if (watched.kind === 'serves' || failure === undefined) return watched;
  const { message, hint } = failure;
  const cause = failure.fault === 'keys' ? 'keys-revoked' : failure.cause;
  return { kind: 'not-serving', cause, message, ...(hint === undefined ? {} : { hint }) };
}

/** Nothing was switched: uses what the present agent reports about itself. */
async function servingNow(work: Work, agent: Observed): Promise<Serving> {
  const { clock, configuration, signal } = work;
  const { limits } = configuration;
  // One that has just become active writes its record within a second; on a disk that was full, at its next tick.
  const deadline = deadlineIn(limits.SERVING_WAIT, clock);
  for (;;) {
    const record = await readServing(work, agent);
    // Whoever has this worker made it accept the keys of another server: the agent notices that within OTHER_SERVER_POLL.
    const isOutdated = record === undefined || record.cause === 'other-server' || isUnanswered(record);
    if (!isOutdated || deadline.left() === 0) return servingOf(record);
    await clock.sleep(limits.READY_POLL, signal);
  }
}

const notAsked: Serving = {
  kind: 'unknown',
  cause: 'serving-unknown',
  message: 'the server was not asked (--offline), so it is not known whether the agent serves',
};

function unchecked(agent: Observed | undefined): Serving {
  const kind = agent?.canStandBy === true ? 'an earlier entrypoint' : 'a legacy entrypoint';
  return {
    kind: 'unknown',
    cause: 'serving-unknown',
    message: `readiness was not checked, because its image has ${kind}: it is not known whether it serves`,
    hint: 'see the host in the server; an image with this entrypoint proves it before the switch',
  };
}
