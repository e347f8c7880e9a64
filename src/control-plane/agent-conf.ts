import { dirname } from 'node:path';
import { DiskUnresponsiveError } from '../host/errors.ts';
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
  /** A sentence for each of the first lines that were left out, without its value, and how many more there are. */
  readonly problems: readonly string[];
}

/** A line that is not understood, and a sentence that says why without its value. */
interface LeftOutLine {
  readonly line: string;
  readonly problem: string;
}

/**
 * Reads the text of `agent.conf`: lines `export NAME=VALUE` (contract §5). Upstream sources it; here shell quoting is
 * understood but nothing is executed or expanded, and a line that would need that is left out and reported.
 */
export function parseAgentConf(text: string): AgentConf {
  const { variables, leftOut } = parseLines(text);
  return { variables, problems: nameFirst(leftOut.map(({ problem }) => problem)) };
}

/** A file of 1 MiB may have half a million lines that are none, and each would be a line in the log of every start. */
function nameFirst(problems: readonly string[]): readonly string[] {
  const more = problems.length - fixedLimits.CONF_PROBLEMS;
  if (more <= 0) return problems;
  return [...problems.slice(0, fixedLimits.CONF_PROBLEMS), `${more} more lines are left out`];
}

/** The same, with the lines that were left out: these may hold secrets. */
function parseLines(
  text: string,
): Pick<AgentConf, 'variables'> & { readonly leftOut: readonly LeftOutLine[] } {
  const variables = new Map<string, string>();
  const leftOut: LeftOutLine[] = [];
  const leaveOut = (line: string, problem: string): void => void leftOut.push({ line, problem });
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (/^[ \t]*(#|$)/.test(line)) continue;
    const assignment = parseShellAssignment(line);
    if ('problem' in assignment) leaveOut(line, `line ${index + 1} ${assignment.problem}`);
    else if (assignment.value.includes('\0')) leaveOut(line, `line ${index + 1} has a NUL byte in it`);
    else variables.set(assignment.name, assignment.value);
  }
  return { variables: Object.fromEntries(variables), leftOut };
}

/**
 * Reads `/var/lib/rancher/etc/agent.conf`; no file is an empty one, one that cannot be read is a problem.
 * @throws DiskUnresponsiveError when the disk does not answer for SETTINGS_TIME: no command continues without the
 * settings because a disk is slow
 */
export async function readAgentConf(file: string): Promise<AgentConf> {
  const read = await readConf(file);
  return 'problem' in read ? { variables: {}, problems: [read.problem] } : parseAgentConf(read.text);
}

async function readConf(file: string): Promise<{ readonly text: string } | { readonly problem: string }> {
  try {
    return { text: (await readOwnFile(file, { deadlineMs: fixedLimits.SETTINGS_TIME })) ?? '' };
  } catch (error) {
    if (error instanceof DeadlineError)
      throw new DiskUnresponsiveError(`the disk of agent.conf does not answer: ${error.message}`, {
        cause: error,
      });
    const hint = error instanceof EntrypointError && error.hint !== undefined ? `: ${error.hint}` : '';
    return { problem: `the file cannot be read (${messageOf(error)})${hint}` };
  }
}

/** What the file says about one variable. */
export type HostSetting =
  /** No file, or no line about it. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'value'; readonly value: string }
  /** Nobody can say: the file cannot be read, or a line that names the variable is not understood. */
  | { readonly kind: 'unclear'; readonly problem: string };

/**
 * Reads one variable of `agent.conf` that must not be overlooked: where `readAgentConf` leaves a line out and goes on, the
 * answer is `unclear`.
 * @throws DiskUnresponsiveError as `readAgentConf`
 */
export async function readHostSetting(file: string, name: string): Promise<HostSetting> {
  const read = await readConf(file);
  if ('problem' in read) return { kind: 'unclear', problem: read.problem };
  const { variables, leftOut } = parseLines(read.text);
  const aboutIt = leftOut.find(({ line }) => line.includes(name));
  if (aboutIt !== undefined) return { kind: 'unclear', problem: aboutIt.problem };
  const value = variables[name];
  return value === undefined ? { kind: 'missing' } : { kind: 'value', value };
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

/** Writes a file below `/var/lib/rancher/etc` or the like, whole or not at all; creates the folder. */
export async function writeWithFolder(
  file: string,
  content: string,
  ownership: FileOwnership = { mode: 0o644 },
): Promise<void> {
  await makeFolder(dirname(file));
  await writeFileAtomically(file, content, ownership);
}
