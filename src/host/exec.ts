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
  hearIgnoredSignals();
  // Node cannot unblock a signal; see `unblockingNode`.
  const through = readSignals('SigBlk').length === 0 ? [] : unblockingNode();
  const [program = file, ...rest] = through;
  return execute(program, program === file ? command : [program, ...rest, file, ...command], environment);
}

/** Exits with a status at once, whatever Node's threads do: becoming another program ends them. */
export function exitAtOnce(status: number): never {
  return execute('/bin/sh', ['sh', '-c', `exit ${status}`], {});
}

function execute(file: string, command: readonly string[], environment: Environment): never {
  if (process.execve === undefined) throw new Error('this Node has no execve');
  return process.execve(file, [...command], { ...environment });
}

/**
 * Node ignores SIGPIPE and SIGXFSZ, a shell SIGINT and SIGQUIT of what it starts in the background. A program inherits what is ignored,
 * and bash cannot undo that: `yes | head -1` fails. What is handled is back at its default in the new program.
 */
function hearIgnoredSignals(): void {
  for (const name of readSignals('SigIgn')) process.on(name, () => undefined);
}

/**
 * `--disable-sigusr1` leaves that signal blocked, and a program inherits that as well. A Node without the flag unblocks it when it
 * starts. So our own Node, without the flag, becomes the program: the arguments before the program's file.
 */
function unblockingNode(): readonly string[] {
  const own = readFileSync('/proc/self/cmdline', 'utf8').split('\0');
  const flagAt = own.indexOf('--disable-sigusr1');
  return flagAt < 1 ? [] : [...own.slice(0, flagAt), '-e', relay, '--'];
}

const relay = [
  "for (const name of ['SIGPIPE', 'SIGXFSZ']) process.on(name, () => undefined);",
  'const [, file, ...command] = process.argv;',
  'process.execve(file, command, process.env);',
].join(' ');

/** Names of the signals in a mask of this process. */
function readSignals(mask: 'SigIgn' | 'SigBlk'): readonly NodeJS.Signals[] {
  const status = readFileSync('/proc/self/status', 'latin1');
  const digits = new RegExp(`^${mask}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1] ?? '0';
  const bits = BigInt(`0x${digits}`);
  return (Object.entries(system.signals) as [NodeJS.Signals, number][]).flatMap(([name, number]) =>
    ((bits >> BigInt(number - 1)) & 1n) === 1n ? [name] : [],
  );
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
