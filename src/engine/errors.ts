import { EngineUnavailableError, EntrypointError, ExitCode } from '../support/errors.ts';

/**
 * The engine answered, and the answer was no. The kind depends on the status code alone: 1.10.3 sends text/plain, and the
 * wording changed with every version (engine-notes §2).
 */
export type EngineErrorKind = 'not-found' | 'conflict' | 'refused' | 'failed' | 'garbled';

export class EngineError extends EntrypointError {
  readonly code = 'engine-error';
  readonly exitCode = ExitCode.unavailable;
  readonly kind: EngineErrorKind;
  readonly status: number;
  /** The engine's message. */
  override readonly originalMessage: string;

  constructor(what: string, status: number, originalMessage: string) {
    super(`${what}: the engine says ${status}: ${originalMessage}`, {
      hint: daemonLogHint,
    });
    this.kind = kindOf(status);
    this.status = status;
    this.originalMessage = originalMessage;
  }
}

/** Whether an error is the engine's answer of this kind. */
export function isEngineError(error: unknown, kind?: EngineErrorKind): error is EngineError {
  return error instanceof EngineError && (kind === undefined || error.kind === kind);
}

/** What a person can do when the engine's answer explains too little. */
export const daemonLogHint = 'the log of the Docker daemon says more: journalctl -u docker';

/** The engine did not answer, or it failed while it tried (5xx): the same call may succeed later. */
export function isOutage(error: unknown): error is EngineUnavailableError | EngineError {
  return error instanceof EngineUnavailableError || isEngineError(error, 'failed');
}

/**
 * Whether the same change may be tried again. After an outage it may. So it may after a conflict: a name that is taken, or a
 * container that is busy, is often free a moment later. Any other refusal is final.
 */
export function isWorthRetrying(error: unknown): boolean {
  return isOutage(error) || isEngineError(error, 'conflict');
}

/**
 * Whether a message of the engine says that the storage cannot take a change: a devicemapper pool that the kernel has made
 * read-only (engine-notes §8), a read-only file system, or one without room. A device that is busy is no such thing.
 */
export function isStorageRefusal(engineMessage: string): boolean {
  if (/device is busy|device or resource busy/i.test(engineMessage)) return false;
  return (
    /dm_task_run failed|read-only file system|quota exceeded/i.test(engineMessage) || isNoSpace(engineMessage)
  );
}

/** Whether a message of the engine says that the disk of the Docker root is full. */
export function isNoSpace(engineMessage: string): boolean {
  return /no space left on device/i.test(engineMessage);
}

/** Whether a message of the engine says that it cannot start a container, because its log driver does not work. */
export function isLogDriverTrouble(engineMessage: string): boolean {
  return /logging driver|log driver/i.test(engineMessage);
}

/** What a person can do about it. */
export const logDriverHint =
  "the engine's log driver does not work: start its log server, or change log-driver in /etc/docker/daemon.json";

/** What a person can do about a full disk. */
export const noSpaceHint = 'free space or inodes below the Docker root, then try again';

/** The engine's message in an answer body: JSON `{"message":…}` or, on old engines, plain text. */
export function readErrorText(body: string): string {
  const text = body.trim();
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && 'message' in parsed) {
      return cut(String(parsed.message).trim());
    }
  } catch {
    // Plain text, as 1.10.3 sends it: taken as it is below.
  }
  return text === '' ? '(no message)' : cut(text);
}

function cut(text: string): string {
  return text.slice(0, 2000);
}

function kindOf(status: number): EngineErrorKind {
  if (status === 404) return 'not-found';
  if (status === 409) return 'conflict';
  if (status >= 500) return 'failed';
  return status >= 400 ? 'refused' : 'garbled';
}
