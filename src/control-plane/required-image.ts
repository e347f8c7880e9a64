import { readShellWord } from './shell-assignment.ts';

/**
 * `REQUIRED_IMAGE` in the server's bootstrap script: read, so that we decide on an upgrade ourselves, and blanked, so
 * that the script never does (design, "Who does the work"). The server inserts it textually: every `REQUIRED_IMAGE=`
 * of its template becomes `REQUIRED_IMAGE="<image>"` (control-plane §5.2).
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
  if (assignments === undefined) return { kind: 'unclear', reason: 'a value with a quote that never ends' };
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
  if (!/^[a-z0-9][\w.:/@-]*$/i.test(image) || image.length > longestReference) {
    return { kind: 'unclear', reason: 'the value is not the name of an image' };
  }
  return { kind: 'image', image };
}

/**
 * The script with every value of `REQUIRED_IMAGE` made empty, and the variable emptied at the top, because it could
 * come from the environment. Refuses a script that sets the variable in a way that can't be blanked (`read`, `for`,
 * `printf -v`, …): it can't be proven that its upgrade branch won't run.
 */
export function blankRequiredImage(script: string): BlankedScript {
  const assignments = findAssignments(script);
  if (assignments === undefined || findOtherWays(script)) {
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

/** Commands that give a variable a value without an `=`. */
function findOtherWays(script: string): boolean {
  return (
    /\b(read|readarray|mapfile|for|select|getopts|let|printf\s+-v)\b[^\n;|&]*\bREQUIRED_IMAGE\b/.test(
      withoutExpansions(script),
    ) || /\b(declare|typeset|local)\s+-\w*n\w*\b[^\n;|&]*\bREQUIRED_IMAGE\b/.test(script)
  );
}

/** Uses of the value (`$REQUIRED_IMAGE`, `${REQUIRED_IMAGE…`) and assignments are no concern of `findOtherWays`. */
function withoutExpansions(script: string): string {
  return script.replace(/\$\{?[#!]?REQUIRED_IMAGE\b/g, '').replace(/\bREQUIRED_IMAGE\+?=/g, '');
}

/** All assignments in order, or undefined when one of them can't be delimited. */
function findAssignments(script: string): Assignment[] | undefined {
  const found: Assignment[] = [];
  let end = 0;
  for (const match of script.matchAll(/(?<![A-Za-z0-9_])REQUIRED_IMAGE(\+?=|:?[-=])/g)) {
    if (match.index < end) continue;
    const assignment = delimit(script, match.index, match[1] ?? '');
    if (assignment === 'none') continue;
    if (assignment === undefined) return undefined;
    found.push(assignment);
    end = assignment.to;
  }
  return found;
}

function delimit(script: string, at: number, operator: string): Assignment | 'none' | undefined {
  const operatorAt = at + 'REQUIRED_IMAGE'.length;
  if (script.slice(0, at).endsWith('${')) {
    const to = findClosingBrace(script, operatorAt);
    return to === undefined ? undefined : { from: operatorAt, to, blank: '', plain: false };
  }
  if (script.charAt(at - 1) === '$' || !operator.endsWith('=') || operator.startsWith(':')) return 'none';
  const from = operatorAt + operator.length;
  const context = contextAt(script, at);
  if (context === 'comment') return 'none';
  if (context !== 'plain') {
    const to = findOnLine(script, from, context);
    if (to !== undefined) return { from, to, blank: '', plain: false };
  }
  const to = findWordEnd(script, from);
  return to === undefined ? undefined : { from, to, blank: '', plain: isCommandPosition(script, at) };
}

/** Whether an assignment may stand here: at the start of a command, perhaps after `export` and the like. */
function isCommandPosition(script: string, at: number): boolean {
  const lineStart = script.lastIndexOf('\n', at - 1) + 1;
  return /(^|[;&|({]|\b(then|else|do))\s*((export|readonly|local|declare|typeset)(\s+-\w+)*\s+|[A-Za-z_]\w*=\S*\s+)*$/.test(
    script.slice(lineStart, at),
  );
}

/** The quotes a position is in, looking at its line alone: heredocs and comments elsewhere can't mislead it. */
function contextAt(script: string, at: number): 'plain' | 'comment' | '"' | "'" {
  let context: 'plain' | '"' | "'" = 'plain';
  for (let i = script.lastIndexOf('\n', at - 1) + 1; i < at; i++) {
    const character = script.charAt(i);
    if (context === "'") {
      if (character === "'") context = 'plain';
    } else if (character === '\\') {
      i++;
    } else if (context === '"') {
      if (character === '"') context = 'plain';
    } else if (character === '"' || character === "'") {
      context = character;
    } else if (character === '#' && /^$|\s|[;&|()]/.test(script.charAt(i - 1))) {
      return 'comment';
    }
  }
  return context;
}

function findOnLine(script: string, from: number, quote: '"' | "'"): number | undefined {
  for (let i = from; i < script.length; i++) {
    const character = script.charAt(i);
    if (character === '\n') return undefined;
    if (character === quote) return i;
    if (character === '\\' && quote === '"') i++;
  }
  return undefined;
}

const closers: Readonly<Record<string, string>> = { '"': '"', "'": "'", '`': '`', '(': ')', '{': '}' };

/** The end of the shell word that begins at `from`, quotes and substitutions included; undefined when one never ends. */
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
  const opener = script.charAt(at);
  const closer = closers[opener];
  const raw = opener === "'" && !/(^|[^\\])\$$/.test(script.slice(Math.max(0, at - 2), at));
  for (let i = at + 1; i < script.length;) {
    const character = script.charAt(i);
    if (character === closer) return i + 1;
    if (raw) {
      i++;
    } else if (character === '\\') {
      i += 2;
    } else {
      const nested = nestedAt(script, i, opener);
      const end = nested === undefined ? i + 1 : findCloser(script, nested);
      if (end === undefined) return undefined;
      i = end;
    }
  }
  return undefined;
}

function nestedAt(script: string, at: number, opener: string): number | undefined {
  const character = script.charAt(at);
  if (opener === '`' || opener === "'" || (opener === '"' && character === "'")) return undefined;
  if (opener === '(' && character === '(') return at;
  return opensAt(script, at);
}
