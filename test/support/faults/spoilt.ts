/** Valid texts and JSON that are damaged in a few places, so that they pass the first check of their reader. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { anyText } from '../server/any-text.ts';

/** A file that is there if something hostile was executed. */
export const mark = join(tmpdir(), `fuzz-executed-${process.pid}`);
/** What an attacker would insert, and what breaks parsers. */
const hostile = [
  `$(touch ${mark})`,
  `\`touch ${mark}\``,
  `"; touch ${mark}; "`,
  `\ntouch ${mark}\n`,
  `' ; touch ${mark} ; '`,
  '${IFS}',
  '\\',
  '"',
  "'",
  '#',
  '=',
  '\0',
  '\r\n',
  '\uFEFF',
  '\uD800',
  'export ',
  'REQUIRED_IMAGE=',
  '__proto__',
  '/scripts/',
  '((((((((',
  '{{{{{{{{',
  ' '.repeat(3_000),
  'a'.repeat(3_000),
];

/** The body of an answer; a value that JSON cannot express is an empty body. */
export function toJson(value: unknown): string {
  return value === undefined ? '' : JSON.stringify(value);
}

type Spoil = (text: string) => string;
const at = fc.double({ min: 0, max: 1, noNaN: true });
const cut = (text: string, where: number): number => Math.floor(text.length * where);

const spoil: fc.Arbitrary<Spoil> = fc.oneof(
  fc.tuple(at, fc.oneof(fc.constantFrom(...hostile), anyText(12))).map(
    ([where, what]): Spoil =>
      (text) =>
        text.slice(0, cut(text, where)) + what + text.slice(cut(text, where)),
  ),
  fc.tuple(at, at).map(
    ([from, to]): Spoil =>
      (text) =>
        text.slice(0, cut(text, Math.min(from, to))) + text.slice(cut(text, Math.max(from, to))),
  ),
  fc.tuple(at, at).map(
    ([from, to]): Spoil =>
      (text) =>
        text + text.slice(cut(text, Math.min(from, to)), cut(text, Math.max(from, to))),
  ),
  at.map(
    (where): Spoil =>
      (text) =>
        text.slice(0, cut(text, where)),
  ),
);

/** One of the valid texts, damaged up to four times; sometimes a completely different text. */
export function spoilt(...honest: readonly string[]): fc.Arbitrary<string> {
  const changed = fc
    .tuple(fc.constantFrom(...honest), fc.array(spoil, { maxLength: 4 }))
    .map(([text, spoils]) => spoils.reduce((sofar, change) => change(sofar), text));
  return fc.oneof({ weight: 9, arbitrary: changed }, { weight: 1, arbitrary: anyText(200) });
}

/** A valid value, up to three parts of which are replaced by any JSON or left out. */
export function spoiltJson(honest: unknown): fc.Arbitrary<unknown> {
  const anything = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(...hostile),
    fc.constant(undefined),
  );
  return fc
    .array(fc.tuple(fc.array(fc.nat(20), { minLength: 1, maxLength: 6 }), anything), { maxLength: 3 })
    .map((changes) =>
      changes.reduce((sofar, [path, by]) => replaceAt(sofar, path, by), structuredClone(honest)),
    );
}

function replaceAt(value: unknown, [first = 0, ...rest]: readonly number[], by: unknown): unknown {
  if (typeof value !== 'object' || value === null) return by;
  const keys = Object.keys(value);
  const key = keys[first % Math.max(1, keys.length)];
  if (key === undefined) return by;
  const members = value as Record<string, unknown>;
  members[key] = rest.length === 0 ? by : replaceAt(members[key], rest, by);
  return members;
}
