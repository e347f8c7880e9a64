import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import type { Environment } from '../support/configuration.ts';
import { UsageError } from '../support/errors.ts';

/**
 * Replaces this process by another program, with our process id: Node does not stay in memory.
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
  return process.execve(file, [...command], { ...environment });
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
