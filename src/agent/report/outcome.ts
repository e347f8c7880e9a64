import { shortId } from '../../engine/containers.ts';
import type { HostState } from '../../host/files/status.ts';
import {
  EntrypointError,
  ExitCode,
  InterruptedError,
  messageOf,
  TryAgainLaterError,
} from '../../support/errors.ts';
import { registerAgain } from '../run/serving/causes.ts';
import type { StateCause } from '../../support/causes.ts';
import type { UnremovableContainer } from '../transaction/apply.ts';
import { describeHolder } from '../transaction/mount-holders.ts';
import type { TransactionResult } from '../transaction/transaction.ts';
import type { Serving } from '../worker/proof/serving.ts';

/** The result of a piece of work: what stands in the status file, in the last line of the log and in the exit status. */
export interface Outcome {
  readonly state: HostState;
  readonly exitCode: ExitCode;
  /** One sentence for a person. */
  readonly summary: string;
  /** Stable code for programs. */
  readonly cause?: StateCause;
  /** The message of the engine or the server. */
  readonly originalMessage?: string;
  readonly hint?: string;
  readonly next?: string;
  /** When that will be, as ISO 8601. */
  readonly nextAttemptAt?: string;
  readonly unremovable?: readonly UnremovableContainer[];
  /** The last log lines of an agent that did not stay up and was removed since. */
  readonly lastLog?: readonly string[];
  /** The state goes away when the agent serves. */
  readonly until?: 'serving';
}

/**
 * What a transaction's end means for the host.
 * @param serving what was observed of the agent in the end; `ok` means that it serves
 */
export function judgeTransaction(result: TransactionResult, serving: Serving = { kind: 'serves' }): Outcome {
  if (result.reached) return withServing(judgeReached(result), serving);
  const error = result.error ?? new Error('the upgrade failed without an error');
  return withUnremovable(
    {
      ...judgeError(error),
      summary: `${messageOf(error)}; ${describeAgent(result)}`,
      ...(result.lastLog === undefined ? {} : { lastLog: result.lastLog }),
    },
    result.unremovable,
  );
}

/** What an error means for the host. What has become of the agent is for the caller to say. */
export function judgeError(error: unknown): Outcome {
  const details = {
    summary: messageOf(error),
    ...(error instanceof EntrypointError ? { cause: error.code } : { cause: 'internal' as const }),
    ...(error instanceof EntrypointError && error.originalMessage !== undefined
      ? { originalMessage: error.originalMessage }
      : {}),
    ...(error instanceof EntrypointError && error.hint !== undefined ? { hint: error.hint } : {}),
  };
  if (error instanceof InterruptedError) {
    return { ...details, state: 'deferred', exitCode: error.exitCode, next: 'the next start goes on' };
  }
  if (error instanceof TryAgainLaterError) return { ...details, state: 'deferred', exitCode: error.exitCode };
  const exitCode = error instanceof EntrypointError ? error.exitCode : ExitCode.internal;
  return { ...details, state: 'failed', exitCode };
}

/** An agent that runs is not one that serves: the state says no more than what was observed (readiness §5). */
function withServing(outcome: Outcome, serving: Serving): Outcome {
  if (serving.kind === 'serves') return outcome;
  if (serving.kind === 'starting') return { ...outcome, summary: `${outcome.summary}; ${serving.message}` };
  const { cause, message } = serving;
  const summary = `${outcome.summary}; ${message}`;
  if (cause === 'keys-revoked')
    return {
      ...outcome,
      summary,
      cause,
      state: 'failed',
      exitCode: ExitCode.notPermitted,
      hint: registerAgain,
    };
  if (outcome.state === 'degraded') return { ...outcome, summary };
  // What nobody observes is as it was asked for; a bootstrap that holds no connection is not.
  const isAsked = serving.kind === 'unknown' && cause !== 'agent-not-connected';
  const exitCode = isAsked ? ExitCode.ok : ExitCode.cannotChange;
  const hint = serving.hint ?? 'see why: docker logs --tail 50 rancher-agent, or the command doctor';
  return { ...outcome, summary, cause, state: 'degraded', exitCode, hint };
}

function judgeReached(result: TransactionResult): Outcome {
  const running = `${result.agent?.name ?? 'the agent'} runs (${result.agent?.image ?? 'unknown image'})`;
  if (result.unremovable.length === 0) return { state: 'ok', exitCode: ExitCode.ok, summary: running };
  const names = result.unremovable.map(({ name, id }) => `${name} (${shortId(id)})`).join(', ');
  return withUnremovable(
    {
      state: 'degraded',
      exitCode: ExitCode.cannotChange,
      summary: `${running}, but a container cannot be removed: ${names}`,
      cause: 'cannot-remove',
      originalMessage: result.unremovable.map(({ originalMessage }) => originalMessage).join('; '),
      hint: hintFor(result.unremovable),
      next: 'the next start of the agent, or the next upgrade, tries again',
    },
    result.unremovable,
  );
}

/** A process that holds a mount can be stopped; without one it is the storage itself. */
function hintFor(unremovable: readonly UnremovableContainer[]): string {
  const runbook = 'see the runbook, "a container cannot be removed"';
  const held = unremovable.flatMap(({ name, holders = [] }) =>
    holders.length === 0 ? [] : [`${name} is held by ${holders.map(describeHolder).join(', ')}`],
  );
  return held.length === 0 ? runbook : `${held.join('; ')}: stop or restart that, or ${runbook}`;
}

function describeAgent(result: TransactionResult): string {
  if (!result.agentRuns) return 'NO agent runs on this host';
  const agent = `${result.agent?.name ?? 'the agent'} (${result.agent?.image ?? 'unknown image'})`;
  if (result.restarts) return `${agent} restarts again and again`;
  if (result.agent !== undefined && !result.isIncumbent && !result.touchedAgent) return `${agent} runs`;
  if (!result.touchedAgent && result.restartedAgent === true)
    return `${agent} had been stopped by somebody else, was started again and runs`;
  if (!result.touchedAgent) return `${agent} was not touched and runs`;
  return result.isIncumbent ? `${agent} is back and runs` : `${agent} has taken over and runs`;
}

function withUnremovable(outcome: Outcome, unremovable: readonly UnremovableContainer[]): Outcome {
  return unremovable.length === 0 ? outcome : { ...outcome, unremovable };
}
