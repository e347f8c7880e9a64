import { spawn, type ChildProcess } from 'node:child_process';
import { DeadlineError } from '../support/deadline.ts';
import { messageOf, systemCodeOf } from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';

export interface CommandOptions {
  /** Milliseconds until the command is stopped. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal;
  /** Instead of our own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Given on stdin: unlike arguments, nobody else on the host can read it. */
  readonly input?: string;
}

export interface CommandResult {
  /** Exit status; if a signal stopped the command, 128 + its number, as in a shell. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command; the real one is `runCommand`, tests of pure callers pass their own. */
export type CommandRunner = (
  file: string,
  args: readonly string[],
  options: CommandOptions,
) => Promise<CommandResult>;

/** The command could not be started, or exited without a status of its own. */
export class CommandError extends Error {
  readonly file: string;

  constructor(file: string, message: string, cause?: unknown) {
    super(`${file}: ${message}`, cause === undefined ? undefined : { cause });
    this.name = 'CommandError';
    this.file = file;
  }
}

/**
 * Runs a command of the host without a shell, with `input` or nothing on its stdin, in a process group of its own. When its
 * time is up, or the signal is aborted, the whole group gets SIGTERM and, COMMAND_GRACE later, SIGKILL; a process that does
 * not exit even after SIGKILL (it hangs in the kernel) is not waited for.
 * @returns whatever the status; of each stream the first COMMAND_OUTPUT bytes
 * @throws DeadlineError; the signal's reason; CommandError when it cannot be started
 */
export const runCommand: CommandRunner = async (file, args, options) => {
  const { deadlineMs, signal, environment, input } = options;
  signal?.throwIfAborted();
  const child = orCommandError(file, () =>
    spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      ...(environment === undefined ? {} : { env: environment }),
    }),
  );
  // A command that exits without reading its stdin closes the pipe: its exit status is more useful.
  child.stdin.on('error', () => undefined).end(input ?? '');
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const ended = waitForEnd(file, child);
  const stop = stopSignal(`${file} ${args.join(' ')}`, deadlineMs, signal);
  try {
    const status = await Promise.race([ended, stop.reached]);
    return { status, stdout: stdout(), stderr: stderr() };
  } catch (error) {
    if (child.pid !== undefined) await endGroup(child.pid, ended);
    throw error;
  } finally {
    stop.dispose();
    child.stdin.destroy();
    child.stdout.destroy();
    child.stderr.destroy();
    child.unref();
  }
};

/** Node throws some errors of a start at once. The kernel takes 128 kB for one variable, and 2 MB for all. @throws CommandError */
export function orCommandError<T>(file: string, start: () => T): T {
  try {
    return start();
  } catch (error) {
    const isTooLarge = systemCodeOf(error) === 'E2BIG';
    const message = isTooLarge
      ? 'the environment is too large for a process (E2BIG): shorten agent.conf or the variables of the container'
      : messageOf(error);
    throw new CommandError(file, message, error);
  }
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    const left = fixedLimits.COMMAND_OUTPUT - size;
    if (left > 0) chunks.push(chunk.subarray(0, left));
    size += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

async function waitForEnd(file: string, child: ChildProcess): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', (error) => {
    reject(new CommandError(file, error.message, error));
  });
  // `close`, not `exit`: only then is all the output there.
  child.once('close', (status, signal) => {
    if (status !== null) resolve(status);
    else resolve(128 + signalNumberOf(signal));
  });
  return promise;
}

const signalNumbers: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

function signalNumberOf(signal: NodeJS.Signals | null): number {
  return signal === null ? 0 : (signalNumbers[signal] ?? 0);
}

interface StopSignal {
  readonly reached: Promise<never>;
  dispose(): void;
}

function stopSignal(what: string, deadlineMs: number, signal: AbortSignal | undefined): StopSignal {
  const { promise: reached, reject } = Promise.withResolvers<never>();
  reached.catch(() => undefined);
  const timer = setTimeout(() => {
    reject(new DeadlineError(what, deadlineMs));
  }, deadlineMs);
  const onAbort = (): void => {
    reject(signal?.reason);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  return {
    reached,
    dispose: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    },
  };
}

async function endGroup(pid: number, ended: Promise<unknown>): Promise<void> {
  signalGroup(pid, 'SIGTERM');
  const closed = ended.then(
    () => true as const,
    () => true as const,
  );
  if (!(await isSoon(closed, fixedLimits.COMMAND_GRACE))) {
    signalGroup(pid, 'SIGKILL');
    await isSoon(closed, fixedLimits.COMMAND_GRACE);
  }
}

async function isSoon(event: Promise<true>, ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => {
    resolve(false);
  }, ms);
  try {
    return await Promise.race([event, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Sends a signal to a process group, if there still is one. */
export function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // Gone already.
  }
}
