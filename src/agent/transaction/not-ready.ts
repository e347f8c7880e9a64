import { describeContainer } from '../../engine/containers.ts';
import type { ContainerDetails } from '../../engine/engine.ts';
import { EntrypointError, ExitCode, TryAgainLaterError, type OutcomeDetails } from '../../support/errors.ts';
import type { StateCause } from '../../support/causes.ts';

/** The next agent cannot serve: it is not promoted, and the agent before it is not touched. Counts against its image. */
export class NotReadyError extends EntrypointError {
  readonly exitCode = ExitCode.cannotChange;
  readonly code: StateCause;

  /** @param code the cause of the check that failed, e.g. `ready-curl-tls` */
  constructor(code: StateCause, message: string, details: OutcomeDetails = {}) {
    super(message, details);
    this.code = code;
  }
}

/** The next agent could not prove that it can serve, but nothing shows that its image is at fault. Tried again later. */
export class NotProvenError extends TryAgainLaterError {
  override readonly code: StateCause;

  constructor(code: StateCause, message: string, details: OutcomeDetails = {}) {
    super(message, details);
    this.code = code;
  }
}

/** The same while no agent is active: the next agent stays on standby, and nothing is created or removed between tries. */
export class HoldError extends NotProvenError {}

/** The bootstrap of the promoted agent fails again and again while the server answers: the parked agent comes back. */
export class BootstrapFailsError extends NotReadyError {
  constructor(message: string, details: OutcomeDetails = {}) {
    super('bootstrap-fails', message, details);
  }
}

/**
 * The same, and the server does not send the agent's parts to the parked agent either: the parked agent comes back, and nothing
 * shows that the image is at fault.
 */
export class DownloadFailsError extends NotProvenError {
  constructor(message: string, details: OutcomeDetails = {}) {
    super('download-fails', message, details);
  }
}

type Named = Pick<ContainerDetails, 'name' | 'id' | 'image'>;

/** The next agent exits again and again on standby. @param end how the engine describes that */
export function nextDoesNotRun(next: Named, end: string): NotReadyError {
  return new NotReadyError(
    'next-does-not-run',
    `the new agent does not stay up: ${describeContainer(next)}`,
    {
      hint: `the image is broken or not built for this host: docker run --rm --privileged ${next.image} --version`,
      originalMessage: end,
    },
  );
}

/** Somebody removed the next agent. */
export function nextRemoved(next: Named): NotProvenError {
  return new NotProvenError(
    'next-removed',
    `somebody removed the new agent while it had to prove that it can serve: ${describeContainer(next)}`,
    { hint: `do not remove ${next.name}: the worker removes it when nobody needs it` },
  );
}

/** Somebody, or the kernel, stops the next agent. @param end how the engine describes that */
export function nextStopped(next: Named, end: string): NotProvenError {
  return new NotProvenError(
    'next-stopped',
    `the new agent was stopped, restarted or killed from outside while it had to prove that it can serve: ${describeContainer(next)}`,
    {
      hint: `see what happened: docker events --since 1h --until 0s --filter container=${next.name}; out of memory: dmesg -T | tail -50`,
      originalMessage: end,
    },
  );
}

/** The promoted agent exits or restarts. @param end how the engine describes that */
export function agentDoesNotRun(agent: Named, end: string): NotReadyError {
  return new NotReadyError('agent-does-not-run', `the agent does not stay up: ${describeContainer(agent)}`, {
    hint: 'see its last log lines: tail -50 /var/lib/rancher/entrypoint/worker.log',
    originalMessage: end,
  });
}
