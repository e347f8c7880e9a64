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

type Named = Pick<ContainerDetails, 'name' | 'id' | 'image'>;

/** The next agent exits or restarts on standby. @param end how the engine describes that */
export function nextDoesNotRun(next: Named, end: string): NotReadyError {
  return new NotReadyError(
    'next-does-not-run',
    `the new agent does not stay up: ${describeContainer(next)}`,
    {
      hint: 'the image is broken or not built for this host: docker run --rm --privileged IMAGE --version',
      originalMessage: end,
    },
  );
}

/** The promoted agent exits or restarts. @param end how the engine describes that */
export function agentDoesNotRun(agent: Named, end: string): NotReadyError {
  return new NotReadyError('agent-does-not-run', `the agent does not stay up: ${describeContainer(agent)}`, {
    hint: `see why: docker logs --tail 50 ${agent.name}`,
    originalMessage: end,
  });
}
