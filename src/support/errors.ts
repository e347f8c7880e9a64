import type { StateCause } from './causes.ts';

/**
 * One class for each way in which work fails. An error says what happened, with the message of the engine or the server
 * where there is one, and what the person on the host should do next. `cli/dispatch.ts` derives the exit status from it; in a
 * worker `agent/report/outcome.ts` derives the state and the exit status. A state `degraded` has no class: nothing was
 * thrown, the work was done.
 */

/** Exit statuses; 64 and up follow sysexits.h, which init systems and shells know. */
export const ExitCode = {
  ok: 0,
  /** No argument at all: 1, as the legacy entrypoint did. */
  noArgument: 1,
  usage: 64,
  /** Engine or server cannot be reached. */
  unavailable: 69,
  internal: 70,
  /** A container could not be created, changed or removed; the state says which. Also of most `degraded` states. */
  cannotChange: 73,
  /** Try again later: lock held, work in progress, back-off, storage low. */
  tryAgainLater: 75,
  notPermitted: 77,
  badConfiguration: 78,
  interrupted: 130,
  terminated: 143,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

export interface OutcomeDetails {
  /** What the person should do next, one sentence. */
  readonly hint?: string;
  /** The engine's or server's own words. */
  readonly originalMessage?: string;
  readonly cause?: unknown;
}

/** Base of every error this program throws on purpose. */
export abstract class EntrypointError extends Error {
  /** Stable name for programs: appears in the status file and in JSON logs. */
  abstract readonly code: StateCause;
  abstract readonly exitCode: ExitCode;
  readonly hint: string | undefined;
  readonly originalMessage: string | undefined;

  constructor(message: string, details: OutcomeDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.hint = details.hint;
    this.originalMessage = details.originalMessage;
  }
}

/** The command line is wrong. */
export class UsageError extends EntrypointError {
  readonly code = 'usage';
  readonly exitCode = ExitCode.usage;
}

/** A URL, address, fingerprint or file that a person gave us is wrong. */
export class ConfigurationError extends EntrypointError {
  readonly code = 'bad-configuration';
  readonly exitCode = ExitCode.badConfiguration;
}

/** The Docker engine cannot be reached or does not answer in time. */
export class EngineUnavailableError extends EntrypointError {
  readonly code = 'engine-unavailable';
  readonly exitCode = ExitCode.unavailable;
}

/** The Rancher server cannot be reached, does not answer in time, or answers nonsense. */
export class ServerUnavailableError extends EntrypointError {
  readonly code = 'server-unavailable';
  readonly exitCode = ExitCode.unavailable;
}

/** The server or the socket refuses our credentials. */
export class NotPermittedError extends EntrypointError {
  readonly code = 'not-permitted';
  readonly exitCode = ExitCode.notPermitted;
}

/** The host does not allow that its agent is created from the image. */
export class ImageNotAllowedError extends EntrypointError {
  readonly code = 'image-not-allowed';
  readonly exitCode = ExitCode.notPermitted;
}

/** A container could not be created, started, renamed or stopped. One that cannot be removed is an `UnremovableError`. */
export class CannotChangeError extends EntrypointError {
  readonly code: StateCause = 'cannot-change';
  readonly exitCode = ExitCode.cannotChange;
}

/** An unmanaged container has a name that our container needs. It is never touched. */
export class RoleNameTakenError extends CannotChangeError {
  override readonly code = 'role-name-taken';
}

/** Somebody else is at work, or it is too early: nothing is wrong, come back later. */
export class TryAgainLaterError extends EntrypointError {
  readonly code: StateCause = 'try-again-later';
  readonly exitCode = ExitCode.tryAgainLater;
}

/** The engine's socket in the agent's container is dead: the agent exits, and the engine starts it again with a new one. */
export class SocketDeadError extends EntrypointError {
  readonly code = 'socket-dead';
  readonly exitCode = ExitCode.unavailable;
}

/** SIGTERM or SIGINT stopped the work at a safe point. */
export class InterruptedError extends EntrypointError {
  readonly code = 'interrupted';
  readonly exitCode: ExitCode;
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`stopped by ${signal}`);
    this.signal = signal;
    this.exitCode = signal === 'SIGINT' ? ExitCode.interrupted : ExitCode.terminated;
  }
}

/** The exit status for anything that was thrown; an error of another class is a defect of this program (70). */
export function exitCodeOf(error: unknown): ExitCode {
  return error instanceof EntrypointError ? error.exitCode : ExitCode.internal;
}

/** The message of anything that can be thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The system error code (`ENOENT`, `EROFS`, …) of an error, or undefined. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The engine's or server's own words, unless the sentence that they stand beside has them already. */
export function messageBeyond(sentence: string, originalMessage: string | undefined): string {
  return originalMessage === undefined || sentence.includes(originalMessage) ? '' : originalMessage;
}

/** A cause that was read from a file: another version of this program may have written it. */
export function reportedCause(text: string): StateCause {
  return text as StateCause;
}
