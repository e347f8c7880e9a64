import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { becomeProcess } from '../host/become.ts';
import { runCommand } from '../host/processes.ts';
import type { Clock } from '../support/clock.ts';
import type { Environment } from '../support/configuration.ts';
import type { Limits } from '../support/limits.ts';

/** A script on its way to bash, in a folder of its own that only root can read. */
export interface StagedScript {
  readonly file: string;
  /** Undefined if bash can parse it; else what bash says. */
  readonly complaint: string | undefined;
  dispose(): Promise<void>;
}

/** Writes the script down and has bash parse it without running it: a text that was cut off is seldom whole bash. */
export async function stageScript(text: string, limits: Limits, signal: AbortSignal): Promise<StagedScript> {
  const folder = await mkdtemp(join(tmpdir(), 'bootstrap-'));
  const file = join(folder, 'bootstrap.sh');
  await writeFile(file, text, { mode: 0o700 });
  const { status, stderr } = await runCommand('bash', ['-n', file], {
    deadlineMs: limits.HOST_COMMAND,
    signal,
  });
  return {
    file,
    complaint: status === 0 ? undefined : stderr.trim(),
    dispose: async () => rm(folder, { recursive: true, force: true }),
  };
}

/** How the bootstrap, which becomes the agent itself, ended. */
export interface ChildExit {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Runs a script with bash until it ends. Its output is passed through. When `signal` is aborted it gets SIGTERM and,
 * after CHILD_GRACE, SIGKILL.
 */
export async function runScript(
  file: string,
  environment: Environment,
  options: { readonly limits: Limits; readonly clock: Clock; readonly signal: AbortSignal },
): Promise<ChildExit> {
  options.signal.throwIfAborted();
  const child = spawn('bash', [file], { env: environment, stdio: ['ignore', 'inherit', 'inherit'] });
  const ended = awaitEnd(child);
  const stop = (): void => void stopChild(child, ended, options);
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    return await ended;
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
  ended: Promise<ChildExit>,
  { limits, clock }: { readonly limits: Limits; readonly clock: Clock },
): Promise<void> {
  child.kill('SIGTERM');
  await Promise.race([ended.catch(() => undefined), clock.sleep(limits.CHILD_GRACE)]);
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
}
