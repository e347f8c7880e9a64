import { readlink } from 'node:fs/promises';
import { messageOf } from '../../support/errors.ts';
import type { Paths } from '../../support/configuration.ts';
import type { Limits } from '../../support/limits/limits.ts';
import type { Log } from '../../support/log.ts';
import { CommandError, type CommandResult, type CommandRunner } from '../processes.ts';

/** What is needed to run commands of the host. */
export interface HostCommands {
  readonly paths: Paths;
  /** HOST_COMMAND counts here. */
  readonly limits: Limits;
  readonly log: Log;
  readonly run: CommandRunner;
  readonly signal?: AbortSignal;
}

/**
 * The arguments of `nsenter` that run a command in the mount namespace of the host's init.
 * @param pid or in that of this process
 */
export function inHostMounts(paths: Paths, command: readonly string[], pid = 1): readonly string[] {
  return [`--mount=${paths.proc}/${pid}/ns/mnt`, '--', ...command];
}

/**
 * Runs a command, with the host's programs, in the host's mount namespace.
 * @param pid or in that of this process
 * @throws CommandError when it cannot be started or exits with another status than 0; DeadlineError
 */
export async function runOnHost(
  host: HostCommands,
  command: readonly string[],
  pid = 1,
): Promise<CommandResult> {
  return runChecked(host, 'nsenter', inHostMounts(host.paths, command, pid));
}

/**
 * Runs a command in our own mount namespace. @throws CommandError when it cannot be started or exits with another status than
 * 0; DeadlineError
 */
export async function runChecked(
  host: HostCommands,
  file: string,
  args: readonly string[],
): Promise<CommandResult> {
  const result = await host.run(file, args, {
    deadlineMs: host.limits.HOST_COMMAND,
    ...(host.signal === undefined ? {} : { signal: host.signal }),
  });
  if (result.status === 0) return result;
  const originalMessage = result.stderr.trim() === '' ? result.stdout.trim() : result.stderr.trim();
  throw new CommandError(
    file,
    `${args.join(' ')}: status ${result.status}${originalMessage === '' ? '' : `: ${originalMessage}`}`,
  );
}

/**
 * Whether process 1 lives in another mount namespace than we do, as in a container that shares the host's processes.
 */
export async function seesHostMounts(paths: Paths): Promise<boolean> {
  try {
    const [init, own] = await Promise.all([
      readlink(`${paths.proc}/1/ns/mnt`),
      readlink(`${paths.proc}/self/ns/mnt`),
    ]);
    return init !== own;
  } catch {
    return false;
  }
}

/** Does something that the agent does not need; its failure is a warning, but an aborted signal is thrown. */
export async function tryOrWarn(host: HostCommands, what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    host.signal?.throwIfAborted();
    host.log.warn(`${what} failed`, { error: messageOf(error) });
  }
}
