import { CommandCursor, QuoteCursor } from './shell/line-cursor.ts';
import { readShellWord } from './shell/assignment.ts';
import { setsWithoutEquals } from './shell/variable-commands.ts';

/**
 * `REQUIRED_IMAGE` in the server's bootstrap script: read, so that we decide on an upgrade ourselves, and blanked, so
 * that the script never does (docs/architecture.md, "An upgrade"). The server inserts it textually: every `REQUIRED_IMAGE=`
 * of its template becomes `REQUIRED_IMAGE="<image>"` (control-plane §5.2).
 *
 * The text comes from the network: every part of it is read a fixed number of times, and nothing here calls itself.
 */
export type RequiredImage =
  | { readonly kind: 'image'; readonly image: string }
  /** The server requires none: its setting is empty. */
  | { readonly kind: 'none' }
  /** No assignment at all. */
  | { readonly kind: 'missing' }
  /** Several different ones, or something that is no image's name: no ground for an upgrade. */
  | { readonly kind: 'unclear'; readonly reason: string };

export type BlankedScript =
  { readonly ok: true; readonly script: string } | { readonly ok: false; readonly reason: string };

/** One place where the script gives the variable a value. */
interface Assignment {
  /** Where the value begins and ends in the text. */
  readonly from: number;
  readonly to: number;
  /** What it becomes when blanked. */
  readonly blank: string;
  /** A plain `NAME=value`, as the server writes it, whose value can be read. */
  readonly plain: boolean;
}

const longestReference = 512;

/** Reads the image the server requires of its agents. Pure; nothing is expanded or executed. */
export function readRequiredImage(script: string): RequiredImage {
  const assignments = findAssignments(script);
  if (assignments === undefined)
    return { kind: 'unclear', reason: 'a value with a quote that is not closed' };
  const images = new Set<string>();
  for (const { from, to } of assignments.filter(({ plain }) => plain)) {
    const word = readShellWord(script.slice(from, to));
    if ('problem' in word) return { kind: 'unclear', reason: `the value ${word.problem}` };
    images.add(word.value);
  }
  if (images.size === 0) return { kind: 'missing' };
  images.delete('');
  const [image, ...others] = images;
  if (image === undefined) return { kind: 'none' };
  if (others.length > 0) return { kind: 'unclear', reason: `${images.size} different images` };
  if (!isReference(image)) return { kind: 'unclear', reason: 'the value is not the name of an image' };
  return { kind: 'image', image };
}

/**
 * Whether a text is `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, as engines read it. A host has a dot, a port, or is `localhost`: the engine
 * takes a single word with capitals for one as well, and would ask a machine that nobody meant.
 */
function isReference(text: string): boolean {
  if (text.length > longestReference) return false;
  const [, name = '', digest] = /^([^@]*)(?:@(.*))?$/.exec(text) ?? [];
  if (digest !== undefined && !/^[A-Za-z][A-Za-z0-9+._-]*:[0-9A-Fa-f]+$/.test(digest)) return false;
  const parts = name.split('/');
  const [first = ''] = parts;
  const hasHost = parts.length > 1 && (/[.:]/.test(first) || first === 'localhost');
  if (hasHost && !/^([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/.test(first)) return false;
  const path = hasHost ? parts.slice(1) : parts;
  const last = /^([^:]*)(?::([\w][\w.-]{0,127}))?$/.exec(path.pop() ?? '')?.[1];
  return (
    last !== undefined && [...path, last].every((part) => /^[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?$/.test(part))
  );
}

/**
 * The script with every value of `REQUIRED_IMAGE` removed, and the variable emptied at the top, because it could
 * come from the environment. Refuses a script that sets the variable in a way that cannot be blanked (`read`, `for`,
 * `printf -v`, …): it cannot be proven that its upgrade branch will not run.
 */
export function blankRequiredImage(script: string): BlankedScript {
  const assignments = findAssignments(script);
  if (assignments === undefined || setsWithoutEquals(script)) {
    return { ok: false, reason: 'the bootstrap script sets REQUIRED_IMAGE in a way that is not understood' };
  }
  let blanked = '';
  let at = 0;
  for (const { from, to, blank } of assignments) {
    blanked += script.slice(at, from) + blank;
    at = to;
  }
  blanked += script.slice(at);
  return { ok: true, script: blanked.replace(/^(#![^\n]*\n)?/, '$1REQUIRED_IMAGE=\n') };
}

/** All assignments in order, or undefined when one of them cannot be delimited. */
function findAssignments(script: string): Assignment[] | undefined {
  const reader = new AssignmentReader(script);
  const found: Assignment[] = [];
  let end = 0;
  for (const match of script.matchAll(/(?<![A-Za-z0-9_])REQUIRED_IMAGE(\+?=|:?[-=])/g)) {
    if (match.index < end) continue;
    const assignment = reader.delimit(match.index, match[1] ?? '');
    if (assignment === 'none') continue;
    if (assignment === undefined) return undefined;
    found.push(assignment);
    end = assignment.to;
  }
  return found;
}

/** Delimits assignments; to be asked for them in the order of the text. */
class AssignmentReader {
  readonly #script: string;
  readonly #quotes: QuoteCursor;
  readonly #commands: CommandCursor;
  /** From where on to the end of the line there is none of these quotes; the line's end. */
  readonly #noneUntil = { '"': 0, "'": 0 };

  constructor(script: string) {
    this.#script = script;
    this.#quotes = new QuoteCursor(script);
    this.#commands = new CommandCursor(script);
  }

  delimit(at: number, operator: string): Assignment | 'none' | undefined {
    const script = this.#script;
    const operatorAt = at + 'REQUIRED_IMAGE'.length;
    const context = this.#quotes.contextAt(at);
    if (context === 'comment') return 'none';
    if (script.startsWith('${', at - 2)) {
      const to = findClosingBrace(script, operatorAt);
      return to === undefined ? undefined : { from: operatorAt, to, blank: '', plain: false };
    }
    if (script.charAt(at - 1) === '$' || !operator.endsWith('=') || operator.startsWith(':')) return 'none';
    const from = operatorAt + operator.length;
    if (context !== 'plain') {
      const to = this.#findOnLine(from, context);
      if (to !== undefined) return { from, to, blank: '', plain: false };
    }
    const to = findWordEnd(script, from);
    return to === undefined
      ? undefined
      : { from, to, blank: '', plain: this.#commands.isCommandPosition(at) };
  }

  #findOnLine(from: number, quote: '"' | "'"): number | undefined {
    const script = this.#script;
    if (from < this.#noneUntil[quote]) return undefined;
    let i = from;
    for (; i < script.length && script.charAt(i) !== '\n'; i++) {
      const character = script.charAt(i);
      if (character === quote) return i;
      if (character === '\\' && quote === '"') i++;
    }
    this.#noneUntil[quote] = i;
    return undefined;
  }
}

const closers: Readonly<Record<string, string>> = { '"': '"', "'": "'", '`': '`', '(': ')', '{': '}' };

/**
 * The end of the shell word that begins at `from`, quotes and substitutions included; undefined when one is not closed.
 */
function findWordEnd(script: string, from: number): number | undefined {
  // An array: all of it is the value.
  if (script.charAt(from) === '(') return findCloser(script, from);
  let i = from;
  while (i < script.length) {
    const character = script.charAt(i);
    if (/[\s;&|<>()]/.test(character)) return i;
    const opens = opensAt(script, i);
    const end = opens === undefined ? i + (character === '\\' ? 2 : 1) : findCloser(script, opens);
    if (end === undefined) return undefined;
    i = end;
  }
  return script.length;
}

function findClosingBrace(script: string, from: number): number | undefined {
  for (let i = from; i < script.length;) {
    if (script.charAt(i) === '}') return i;
    const opens = opensAt(script, i);
    const end = opens === undefined ? i + (script.charAt(i) === '\\' ? 2 : 1) : findCloser(script, opens);
    if (end === undefined) return undefined;
    i = end;
  }
  return undefined;
}

/** Where a quote or substitution opens if one does at this position: at a quote itself, or after the `$`. */
function opensAt(script: string, at: number): number | undefined {
  const character = script.charAt(at);
  if (character === '"' || character === "'" || character === '`') return at;
  if (character === '$' && /[({]/.test(script.charAt(at + 1))) return at + 1;
  return undefined;
}

/**
 * The position after whatever closes the quote, parenthesis or brace at `at`; undefined when nothing does. Single
 * quotes know no escapes, except in the form `$'…'`.
 */
function findCloser(script: string, at: number): number | undefined {
  const open = [at];
  let isRaw = isRawQuote(script, at);
  for (let i = at + 1; i < script.length;) {
    const opener = script.charAt(open.at(-1) ?? at);
    const character = script.charAt(i);
    if (character === closers[opener]) {
      open.pop();
      const outer = open.at(-1);
      if (outer === undefined) return i + 1;
      isRaw = isRawQuote(script, outer);
      i++;
    } else if (isRaw) {
      i++;
    } else if (character === '\\') {
      i += 2;
    } else {
      const nested = nestedAt(script, i, opener);
      if (nested !== undefined) {
        open.push(nested);
        isRaw = isRawQuote(script, nested);
      }
      i = (nested ?? i) + 1;
    }
  }
  return undefined;
}

function isRawQuote(script: string, at: number): boolean {
  return script.charAt(at) === "'" && !/(^|[^\\])\$$/.test(script.slice(Math.max(0, at - 2), at));
}

function nestedAt(script: string, at: number, opener: string): number | undefined {
  const character = script.charAt(at);
  if (opener === '`' || opener === "'" || (opener === '"' && character === "'")) return undefined;
  if (opener === '(' && character === '(') return at;
  return opensAt(script, at);
}
