/*
 * Texts that others chose: names of containers, processes and mounts, messages of the engine and the server, contents of files.
 * A terminal obeys some of their characters, and a line end forges a line of the log.
 */

/** One blank stands for each run of these in a text of one line. */
const lineEnds = /[\t\n\v\f\r\u0085\u2028\u2029]+/g;

/**
 * What a terminal or a reader does not see: C0, DEL, C1, the controls of writing direction, characters without width, tags.
 * Ranges, not `\p{Cf}`: V8 builds the set of a property when it first meets it.
 */
const invisible =
  /[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;

const invisibleInLines = new RegExp(invisible.source.replace('\\x00-\\x1f', '\\x00-\\x09\\x0b-\\x1f'), 'g');

/**
 * The text as one line that is safe on a terminal, in a log and in a file. Line ends and tabs become a blank. What a reader would
 * not see becomes visible: `\x1b`, `\u202e`. Linear time; a text that is safe already stays as it is.
 */
export function printable(text: string): string {
  return text.replace(lineEnds, ' ').replace(invisible, escape);
}

/** The same for a text of several lines: line ends stay, a carriage return before one goes, a tab becomes blanks. */
export function printableLines(text: string): string {
  return text.replaceAll('\r\n', '\n').replaceAll('\t', '    ').replace(invisibleInLines, escape);
}

/** `printable` for every text of a value, however deep: a report before it is shown, or a record before it is written. */
export function printableAll<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), printableValue) as T;
}

/** The same as the second argument of `JSON.stringify` or `JSON.parse`. */
export function printableValue(_key: string, value: unknown): unknown {
  return typeof value === 'string' ? printable(value) : value;
}

/** `printableLines` for a text that comes in pieces, which may end within a character. Each stream needs its own. */
export function createPrintableStream(): (chunk: Buffer) => Buffer {
  const decoder = new TextDecoder();
  return (chunk) => Buffer.from(printableLines(decoder.decode(chunk, { stream: true })));
}

/** The beginning of a text; never half a character. */
export function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…`;
}

function escape(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code > 0xffff) return `\\u{${code.toString(16)}}`;
  return code > 0xff
    ? `\\u${code.toString(16).padStart(4, '0')}`
    : `\\x${code.toString(16).padStart(2, '0')}`;
}
