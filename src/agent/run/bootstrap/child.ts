import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { becomeProcess } from '../../../host/exec.ts';
import { explainWriteError, HostFolderUnwritableError, NoBashError } from '../../../host/errors.ts';
import { CommandError, orCommandError, runCommand, signalGroup } from '../../../host/processes.ts';
import type { Clock } from '../../../support/clock.ts';
import type { Environment } from '../../../support/configuration.ts';
import { InterruptedError, systemCodeOf } from '../../../support/errors.ts';
import type { Limits } from '../../../support/limits/limits.ts';

/** A script on its way to bash, in a folder of its own that only root can read. */
export interface StagedScript {
  readonly file: string;
  /** Undefined if bash can parse it; else what bash says. */
  readonly complaint: string | undefined;
  dispose(): Promise<void>;
}

const folderPrefix = 'agent-bootstrap-';

/**
 * Removes what a `run` left that was killed, or became the script.
 * @param folder where scripts are staged; not one that others use as well
 */
export async function removeStagedScripts(folder: string): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.startsWith(folderPrefix));
  await Promise.all(names.map(async (name) => rm(join(folder, name), { recursive: true, force: true })));
}

/**
 * Writes the script down and has bash parse it without running it: a text that was cut off is seldom whole bash.
 * @param folders where it may go; the first one that can be written is taken
 * @throws HostFolderUnwritableError about the last of them when none can; NoBashError when there is no bash
 */
export async function stageScript(
  text: string,
  folders: readonly string[],
  limits: Limits,
  signal: AbortSignal,
): Promise<StagedScript> {
  const folder = await writeInFirst(folders, text);
  const file = join(folder, scriptName);
  const dispose = async (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const { status, stderr } = await runCommand('bash', ['-n', file], {
      deadlineMs: limits.HOST_COMMAND,
      signal,
    });
    return { file, complaint: status === 0 ? undefined : stderr.trim(), dispose };
  } catch (error) {
    await dispose();
    const missing = error instanceof CommandError && systemCodeOf(error.cause) === 'ENOENT';
    throw missing ? new NoBashError(error) : error;
  }
}

const scriptName = 'bootstrap.sh';

/** @returns the folder that was created for it */
async function writeInFirst([parent = '', ...others]: readonly string[], text: string): Promise<string> {
  try {
    return await writeBelow(parent, text);
  } catch (error) {
    if (!(error instanceof HostFolderUnwritableError) || others.length === 0) throw error;
    return writeInFirst(others, text);
  }
}

/** A file, and no pipe: the script looks at its own path (`$0`), and its stdin is its own. */
async function writeBelow(parent: string, text: string): Promise<string> {
  let folder: string | undefined;
  try {
    folder = await mkdtemp(join(parent, folderPrefix));
    await writeFile(join(folder, scriptName), text, { mode: 0o700 });
    return folder;
  } catch (error) {
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
    throw explainWriteError(parent, error);
  }
}

/** How the bootstrap, which becomes the agent itself, exited. */
export interface ChildExit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface RunOptions {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called with the id of the process, which the agent of the server takes over from bash. Does not wait. */
  readonly onStart?: (pid: number) => void;
}

/**
 * Runs a script with bash until it exits, in a process group of its own. Its output is passed through. When `signal` is
 * aborted the group gets the signal that we got and, after CHILD_GRACE, SIGKILL: a bash that waits for a command of its own
 * would look at the signal only after that.
 */
export async function runScript(
  file: string,
  environment: Environment,
  options: RunOptions,
): Promise<ChildExit> {
  options.signal.throwIfAborted();
  const child = orCommandError('bash', () =>
    spawn('bash', [file], {
      env: environment,
      stdio: ['ignore', 'inherit', 'inherit'],
      detached: true,
    }),
  );
  const exited = awaitEnd(child);
  if (child.pid !== undefined) options.onStart?.(child.pid);
  const stop = (): void => void stopChild(child, exited, options);
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    return await exited;
  } finally {
    options.signal.removeEventListener('abort', stop);
  }
}

/** Replaces this process by bash running the script (`CATTLE_EXEC_AGENT`, contract §5). Returns only by throwing. */
export function becomeScript(file: string, environment: Environment): never {
  return becomeProcess(['bash', file], environment);
}

async function awaitEnd(child: ChildProcess): Promise<ChildExit> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (status, signal) => {
      resolve({ status, signal });
    });
  });
}

async function stopChild(
  child: ChildProcess,
  exited: Promise<ChildExit>,
  { limits, clock, signal }: { readonly limits: Limits; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<void> {
  if (child.pid === undefined) return;
  const reason: unknown = signal.reason;
  signalGroup(child.pid, reason instanceof InterruptedError ? reason.signal : 'SIGTERM');
  await Promise.race([exited.catch(() => undefined), clock.sleep(limits.CHILD_GRACE)]);
  if (child.exitCode === null && child.signalCode === null) signalGroup(child.pid, 'SIGKILL');
}
