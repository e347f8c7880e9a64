import { readCommands, type ShellCommand } from './commands.ts';

/**
 * Whether a script gives `REQUIRED_IMAGE` a value without an `=` (`read`, `for`, `printf -v`, …). A comment or a message that
 * names the variable does not. The text is read twice, line by line and as a whole, and each reading counts: the one is
 * misled by a quote that spans lines, the other by a here-document with an odd quote.
 */
export function setsWithoutEquals(script: string): boolean {
  return (['line', 'text'] as const).some((scope) => {
    const commands = readCommands(script, scope);
    return commands === undefined || commands.some(isSetter);
  });
}

const name = 'REQUIRED_IMAGE';
/** The name itself: not its value (`$NAME`, `${NAME…`), and not an assignment, which is blanked. */
const bareName = /(?<![\w$]|\$\{[#!]?)REQUIRED_IMAGE(?!\w|\+?=)/;

const setters = new Set(['read', 'readarray', 'mapfile', 'for', 'select', 'getopts', 'let']);
const setterInText = /\b(read|readarray|mapfile|for|select|getopts|let|printf\s+-v)\b/;
/** Their arguments are commands themselves. */
const evaluators = new Set(['eval', 'trap', 'source', '.']);
const declarations = new Set(['declare', 'typeset', 'local']);

function isSetter(words: ShellCommand): boolean {
  if (!words.some((word) => word.includes(name))) return false;
  const at = findCommandWord(words);
  if (words.slice(0, at).some((word) => word.startsWith(`${name}[`))) return true;
  const command = (words[at] ?? '').replace(/["'\\]/g, '');
  const rest = words.slice(at + 1);
  const namesIt = rest.some((word) => bareName.test(word));
  if (setters.has(command)) return namesIt;
  if (command === 'printf') return rest.some((word) => word.startsWith('-v')) && rest.some(isNamed);
  if (declarations.has(command)) return rest.some((word) => /^-\w*n/.test(word));
  return evaluators.has(command) && namesIt && setterInText.test(rest.join(' '));
}

function isNamed(word: string): boolean {
  return bareName.test(word) || word.startsWith(`-v${name}`);
}

const reserved = new Set([
  ...['if', 'then', 'elif', 'else', 'do', 'while', 'until', '!', 'time', '{', '}'],
  ...['builtin', 'command', 'coproc'],
]);

/** The place of a command's own name: behind reserved words, assignments and redirections. */
function findCommandWord(words: ShellCommand): number {
  let at = 0;
  for (;;) {
    const word = words[at] ?? '';
    const isRedirection = /^\d*(&?[<>])/.test(word);
    if (word === 'function' || (isRedirection && /[<>&|-]$/.test(word))) at += 2;
    else if (isRedirection || reserved.has(word) || /^[A-Za-z_]\w*(\[[^\]]*\])?\+?=/.test(word)) at++;
    else if (at > 0 && word.startsWith('-')) at++;
    else return at;
  }
}
