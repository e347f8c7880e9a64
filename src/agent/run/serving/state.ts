import type { HostStatus } from '../../../host/files/status.ts';
import { ExitCode } from '../../../support/errors.ts';
import type { Outcome } from '../../report/outcome.ts';
import {
  agentNotConnected,
  bootstrapFails,
  endsWithServing,
  isFailing,
  keysRevoked,
  registerAgain,
  servingUnknown,
} from './causes.ts';
import type { Reason, ServingDecision } from './decision.ts';

/** What the active agent knows when it compares the host's state with its own observations. */
export interface ServingView {
  readonly decision: ServingDecision;
  /** Origin of the server. */
  readonly server: string;
  /** The image of the agent, as its container was created from; undefined where that is not known. */
  readonly image: string | undefined;
  /** Something that a restart of the container cures; more urgent than whether it serves. */
  readonly trouble: Reason | undefined;
  /** A failed upgrade whose reason is gone, as it stood in the status file, and what is so now. */
  readonly over: { readonly status: HostStatus; readonly summary: string } | undefined;
}

/** What is to be written: a state; or nothing but whether the agent serves; or nothing. */
export type StateStep =
  { readonly do: 'nothing' } | { readonly do: 'refresh' } | { readonly do: 'say'; readonly outcome: Outcome };

/**
 * What the agent's observations mean for the state of the host. Pure. The agent writes over `ok` and `deferred`, and over
 * states that are about serving; a worker at work, a failed upgrade and an unremovable container keep theirs.
 */
export function stateFor(before: HostStatus | undefined, view: ServingView): StateStep {
  if (before?.state === 'working') return { do: 'nothing' };
  const wanted = outcomeOf(view);
  if (wanted === undefined) return { do: 'refresh' };
  const isFree = before === undefined || mayReplace(before, wanted);
  if (wanted.state !== 'ok') {
    const isSaid = before?.state === wanted.state && before.cause === wanted.cause;
    return isFree && !isSaid ? { do: 'say', outcome: wanted } : { do: 'refresh' };
  }
  if (before !== undefined && isOver(before, view.over)) {
    return { do: 'say', outcome: { ...wanted, summary: view.over?.summary ?? wanted.summary } };
  }
  const isOld = before !== undefined && (endsWithServing(before) || isOfOtherImage(before, view.image));
  return isOld ? { do: 'say', outcome: wanted } : { do: 'refresh' };
}

/** A failed upgrade, or one that waits for its next attempt. */
export function isUnfinishedUpgrade(status: HostStatus): boolean {
  if (endsWithServing(status)) return false;
  return (
    (status.state === 'failed' && ['upgrade', 'reconcile', 'run'].includes(status.command)) ||
    (status.state === 'deferred' && status.command === 'upgrade')
  );
}

/** Undefined: too early to know, and nothing is reported. */
function outcomeOf({ decision, server, trouble }: ServingView): Outcome | undefined {
  if (trouble !== undefined) {
    const summary = `the agent's container needs a restart: ${trouble.message}`;
    return { ...degraded(trouble, 'docker restart rancher-agent; your containers keep running'), summary };
  }
  const { serving, reason } = decision;
  if (serving === 'yes' || reason === undefined) {
    const summary = `the agent serves: ${server} answers, and its bootstrap runs`;
    return { state: 'ok', exitCode: ExitCode.ok, summary };
  }
  if (serving === 'no') return notServing(reason);
  if (reason.cause === agentNotConnected) {
    const summary = `whether the agent serves is not known: ${reason.message}`;
    return { ...degraded(reason, hintFor(reason.cause)), summary };
  }
  if (reason.cause !== servingUnknown) return undefined;
  return {
    ...degraded(
      reason,
      'nothing, if this is what you asked for; the server shows whether the host is active',
    ),
    summary: `whether the agent serves is not known: ${reason.message}`,
    exitCode: ExitCode.ok,
  };
}

function notServing(reason: Reason): Outcome {
  const outcome = { ...degraded(reason, hintFor(reason.cause)), next: 'tried again with growing pauses' };
  if (!isFailing(reason.cause)) return outcome;
  const exitCode = reason.cause === keysRevoked ? ExitCode.notPermitted : ExitCode.cannotChange;
  return { ...outcome, state: 'failed', exitCode };
}

function degraded({ cause, message }: Reason, hint: string): Outcome {
  return {
    state: 'degraded',
    exitCode: ExitCode.cannotChange,
    summary: `the agent does not serve: ${message}`,
    cause,
    hint,
    until: 'serving',
  };
}

function hintFor(cause: string): string {
  if (cause === keysRevoked) return registerAgain;
  if (cause === bootstrapFails) {
    return 'see what the script says: docker logs --tail 100 rancher-agent; or have the server require another image';
  }
  if (cause === agentNotConnected) return notConnectedHint;
  return 'see the runbook, "The server cannot be reached"';
}

const notConnectedHint =
  'see where the script waits: docker logs --tail 100 rancher-agent; to start it again: docker restart rancher-agent (your containers keep running)';

function mayReplace(before: HostStatus, wanted: Outcome): boolean {
  if (before.state === 'ok' || endsWithServing(before)) return true;
  return before.state === 'deferred' && wanted.cause !== servingUnknown;
}

/** The result of an upgrade was never written, on a disk without room: the file still names the image before it. */
function isOfOtherImage({ state, target }: HostStatus, image: string | undefined): boolean {
  return state === 'ok' && target !== undefined && image !== undefined && target !== image;
}

function isOver(before: HostStatus, over: ServingView['over']): boolean {
  return (
    over !== undefined && before.state === over.status.state && before.updatedAt === over.status.updatedAt
  );
}
