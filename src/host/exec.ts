import { accessSync, constants, readFileSync } from 'node:fs';
import { constants as system } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Environment } from '../support/configuration.ts';
import { UsageError } from '../support/errors.ts';

/**
 * Replaces this process by another program, with our process id: Node does not stay in memory. The program gets the signals as every
 * program does, whatever Node, or the shell that started it, ignores.
 * @param command program, looked up in `PATH`, and its arguments
 * @throws UsageError when there is no such program; otherwise it does not return
 */
export function becomeProcess(command: readonly [string, ...string[]], environment: Environment): never {
  const [name] = command;
  const file = findProgram(
    name,
    environment['PATH'] ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  );
  if (file === undefined) throw new UsageError(`${name}: not found, or not executable`);
  if (process.execve === undefined) throw new Error('this Node has no execve');
  hearIgnoredSignals();
  return process.execve(file, [...command], { ...environment });
}

/**
 * Node ignores SIGPIPE and SIGXFSZ, a shell SIGINT and SIGQUIT of what it starts in the background. A program inherits what is ignored,
 * and bash cannot undo that: `yes | head -1` fails. What is handled is back at its default in the new program.
 */
function hearIgnoredSignals(): void {
  const status = readFileSync('/proc/self/status', 'latin1');
  const ignored = BigInt(`0x${/^SigIgn:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  for (const [name, number] of Object.entries(system.signals)) {
    if (((ignored >> BigInt(number - 1)) & 1n) === 1n) process.on(name, () => undefined);
  }
}

function findProgram(name: string, path: string): string | undefined {
  const candidates = name.includes('/') ? [name] : path.split(delimiter).map((folder) => join(folder, name));
  return candidates.find(isExecutable);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
