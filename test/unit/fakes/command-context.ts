import { createContext, type Context } from '../../../src/commands/context.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { keyboardOf, terminalOf } from '../../../src/support/terminal.ts';

type Parts = Parameters<typeof createContext>[0];

/** The context of a command that no signal interrupts, without a terminal and, unless one is given, without a log. */
export function commandContext(
  parts: Pick<Parts, 'command' | 'configuration'> & Partial<Pick<Parts, 'log'>>,
): Context {
  return createContext({
    log: silentLog,
    secrets: createSecrets(),
    version: 'test',
    signal: new AbortController().signal,
    write: () => undefined,
    terminal: terminalOf(() => process.stdout, false),
    keyboard: keyboardOf(() => process.stdin),
    ...parts,
  });
}
