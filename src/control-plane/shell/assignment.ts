/** One `NAME=value` of a shell file, quotes removed. */
export interface ShellAssignment {
  readonly name: string;
  readonly value: string;
}

export type ShellLine = ShellAssignment | { readonly problem: string };

/**
 * Reads one line `NAME=value` or `export NAME=value` the way a shell reads it, with single quotes, double quotes and
 * backslashes, but without ever executing or expanding anything: a value that a shell would compute (`$`, backtick, `~`, after
 * `export` also `{a,b}`) is a problem, and so is a second word on the line.
 */
export function parseShellAssignment(line: string): ShellLine {
  const match = /^[ \t]*(export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(line);
  const name = match?.[2];
  if (name === undefined) return { problem: 'is not of the form export NAME=VALUE' };
  const word = readShellWord(match?.[3] ?? '', { isArgument: match?.[1] !== undefined });
  if ('problem' in word) return word;
  if (!/^[ \t]*(?:#.*)?$/.test(word.rest) || word.rest.startsWith('#')) {
    return { problem: 'has more than one word after the =' };
  }
  return { name, value: word.value };
}

/** The value quoted so that every shell reads exactly it back. */
export function quoteForShell(value: string): string {
  return /^[\w./:@%+,-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}

export type ShellWord = { readonly value: string; readonly rest: string } | { readonly problem: string };

const unquotedEnd = /[\s;&|<>()]/;

/**
 * Reads the shell word a text begins with, as the value of an assignment; `rest` is what follows it. Nothing is expanded.
 * @param isArgument of `export`: then bash expands braces as well
 */
export function readShellWord(text: string, { isArgument = false } = {}): ShellWord {
  let value = '';
  let at = 0;
  const expansions = new ExpansionFinder(isArgument);
  while (at < text.length) {
    const character = text.charAt(at);
    if (unquotedEnd.test(character)) break;
    const part = readPart(text, at);
    if ('problem' in part) return part;
    if (expansions.isExpanded(/["'\\]/.test(character) ? '' : character)) return computed;
    value += part.value;
    at = part.end;
  }
  return { value, rest: text.slice(at) };
}

const computed = { problem: 'would be computed by a shell' };

/** Finds what bash expands outside of quotes, in a word that is read from its begin to its end. */
class ExpansionFinder {
  readonly #hasBraces: boolean;
  #before = ':';
  /** How much of `{a,b}` or `{1..3}` was read. */
  #brace: 'none' | 'open' | 'listed' = 'none';

  constructor(hasBraces: boolean) {
    this.#hasBraces = hasBraces;
  }

  /** @param character the next one; empty for what is quoted */
  isExpanded(character: string): boolean {
    // A tilde at the begin, and behind each colon.
    const isTilde = character === '~' && this.#before === ':';
    if (character === '{' && this.#brace === 'none') this.#brace = 'open';
    const isSeparator = character === ',' || (character === '.' && this.#before === '.');
    if (isSeparator && this.#brace === 'open') this.#brace = 'listed';
    this.#before = character;
    return isTilde || (this.#hasBraces && character === '}' && this.#brace === 'listed');
  }
}

type Part = { readonly value: string; readonly end: number } | { readonly problem: string };

function readPart(text: string, at: number): Part {
  const character = text.charAt(at);
  switch (character) {
    case "'":
      return readSingleQuoted(text, at + 1);
    case '"':
      return readDoubleQuoted(text, at + 1);
    case '\\':
      return at + 1 < text.length
        ? { value: text.charAt(at + 1), end: at + 2 }
        : { problem: 'has a backslash at its end' };
    case '$':
    case '`':
      return computed;
    default:
      return readPlain(text, at);
  }
}

/** Characters that mean nothing to a shell, in one piece; else one character. */
function readPlain(text: string, at: number): Part & { readonly value: string } {
  plain.lastIndex = at;
  const value = plain.exec(text)?.[0] ?? text.charAt(at);
  return { value, end: at + value.length };
}

const plain = /[^\s;&|<>()'"\\$`~:{},.]+/y;

function readSingleQuoted(text: string, from: number): Part {
  const end = text.indexOf("'", from);
  return end < 0
    ? { problem: 'has a quote that is not closed' }
    : { value: text.slice(from, end), end: end + 1 };
}

function readDoubleQuoted(text: string, from: number): Part {
  let value = '';
  for (let at = from; at < text.length; at++) {
    const character = text.charAt(at);
    if (character === '"') return { value, end: at + 1 };
    if (character === '$' || character === '`') return computed;
    // Inside double quotes a backslash escapes only these four; before anything else it stands for itself.
    if (character === '\\' && /["\\$`]/.test(text.charAt(at + 1))) {
      value += text.charAt(at + 1);
      at++;
    } else {
      value += character;
    }
  }
  return { problem: 'has a quote that is not closed' };
}
