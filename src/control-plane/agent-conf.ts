import { dirname } from 'node:path';
import { StorageSilentError } from '../host/errors.ts';
import { makeFolder, writeFileAtomically, type FileOwnership } from '../host/files/files.ts';
import type { ReadOptions } from '../host/files/read.ts';
import { readOwnFile } from '../host/files/safe-folder.ts';
import { DeadlineError } from '../support/deadline.ts';
import { EntrypointError, messageOf } from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import { parseShellAssignment, quoteForShell } from './shell/assignment.ts';

export interface AgentConf {
  /** Variables in the order of the file; of several of a name, the last. */
  readonly variables: Readonly<Record<string, string>>;
  /** A sentence for each line that was left out, without its value. */
  readonly problems: readonly string[];
}

/**
 * Reads the text of `agent.conf`: lines `export NAME=VALUE` (contract §5). Upstream sources it; here shell quoting is
 * understood but nothing is executed or expanded, and a line that would need that is left out and reported.
 */
export function parseAgentConf(text: string): AgentConf {
  const variables = new Map<string, string>();
  const problems: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^[ \t]*(#|$)/.test(line)) continue;
    const assignment = parseShellAssignment(line);
    if ('problem' in assignment) problems.push(`line ${index + 1} ${assignment.problem}`);
    else if (assignment.value.includes('\0')) problems.push(`line ${index + 1} has a NUL byte in it`);
    else variables.set(assignment.name, assignment.value);
  }
  return { variables: Object.fromEntries(variables), problems };
}

/**
 * Reads `/var/lib/rancher/etc/agent.conf`; no file is an empty one, one that cannot be read is a problem.
 * @throws StorageSilentError when the disk does not answer for SETTINGS_TIME: no command continues without the
 * settings because a disk is slow
 */
export async function readAgentConf(file: string): Promise<AgentConf> {
  try {
    return parseAgentConf((await readOwnFile(file, { deadlineMs: fixedLimits.SETTINGS_TIME })) ?? '');
  } catch (error) {
    if (error instanceof DeadlineError)
      throw new StorageSilentError(`the disk of agent.conf does not answer: ${error.message}`, {
        cause: error,
      });
    const hint = error instanceof EntrypointError && error.hint !== undefined ? `: ${error.hint}` : '';
    return { variables: {}, problems: [`the file cannot be read (${messageOf(error)})${hint}`] };
  }
}

/**
 * Adds variables to the file, keeping every line of it, its mode and its owner: it may hold a password. Those that have the value
 * already are not added again.
 */
export async function addToAgentConf(
  file: string,
  additions: Readonly<Record<string, string>>,
): Promise<void> {
  let keep: FileOwnership = { mode: 0o644 };
  const onOpen: ReadOptions['onOpen'] = async (_file, { mode, uid, gid }) => {
    keep = { mode: mode & 0o7777, uid, gid };
    return Promise.resolve();
  };
  const text = (await readOwnFile(file, { onOpen })) ?? '';
  const { variables } = parseAgentConf(text);
  const lines = Object.entries(additions)
    .filter(([name, value]) => variables[name] !== value)
    .map(([name, value]) => `export ${name}=${quoteForShell(value)}\n`);
  if (lines.length === 0) return;
  const separator = text === '' || text.endsWith('\n') ? '' : '\n';
  await writeWithFolder(file, `${text}${separator}${lines.join('')}`, keep);
}

/** Writes a file below `/var/lib/rancher/etc` or the like, whole or not at all; makes the folder. */
export async function writeWithFolder(
  file: string,
  content: string,
  ownership: FileOwnership = { mode: 0o644 },
): Promise<void> {
  await makeFolder(dirname(file));
  await writeFileAtomically(file, content, ownership);
}
