import type { Limits } from '../../support/limits/limits.ts';
import { printableLines } from '../../support/printable.ts';
import { safeValue, type Secrets } from '../../support/secrets.ts';

/** One part of a support bundle. */
export interface Section {
  readonly title: string;
  /** Not masked and not shortened yet; anything but a string is shown as JSON. */
  readonly content: unknown;
  /** Which end is kept of a text that is too long; of a log the last lines matter. */
  readonly keep: 'begin' | 'end';
}

const headMark = '====';

/**
 * Pure: the whole bundle as one text that a person can read, with every secret masked. A secret is masked before a text is shortened,
 * because half a secret could not be found any more. Sections that have no room are named at the end.
 */
export function renderBundle(
  introduction: string,
  sections: readonly Section[],
  secrets: Secrets,
  limits: Pick<Limits, 'BUNDLE_SECTION' | 'BUNDLE_BYTES'>,
): string {
  const parts = [safe(introduction, secrets)];
  const omitted: string[] = [];
  // Room for the names of what is left out.
  let left = limits.BUNDLE_BYTES - limits.BUNDLE_SECTION - bytesOf(introduction);
  for (const { title, content, keep } of sections) {
    const body = shortenLines(textOf(content, secrets), limits.BUNDLE_SECTION, keep);
    const part = `\n${headMark} ${safe(title, secrets).replaceAll('\n', ' ')} ${headMark}\n${body}\n`;
    if (bytesOf(part) > left) omitted.push(title);
    else {
      left -= bytesOf(part);
      parts.push(part);
    }
  }
  const rest = `\n${headMark} left out, because the bundle would be too large ${headMark}\n${safe(omitted.join('\n'), secrets)}\n`;
  return (
    parts.join('') + (omitted.length === 0 ? '' : `${shortenLines(rest, limits.BUNDLE_SECTION, 'begin')}\n`)
  );
}

/** In JSON a secret may be written in another way, and a mask would swallow the backslash of a quote: its strings are masked. */
function textOf(content: unknown, secrets: Secrets): string {
  return typeof content === 'string'
    ? safe(content, secrets)
    : JSON.stringify(content, safeValue(secrets), 2);
}

/** Masked; without control characters; and no line looks like the head of a section. */
function safe(text: string, secrets: Secrets): string {
  const printed = printableLines(secrets.scrub(text)).replace(/\n+$/, '');
  return printed.replaceAll(new RegExp(`^${headMark}`, 'gm'), ` ${headMark}`);
}

/** Whole lines only. @param most bytes */
function shortenLines(text: string, most: number, keep: Section['keep']): string {
  if (bytesOf(text) <= most) return text;
  const lines = text.split('\n');
  if (keep === 'end') lines.reverse();
  const kept: string[] = [];
  let left = most;
  for (const line of lines) {
    left -= bytesOf(line) + 1;
    if (left < 0) break;
    kept.push(line);
  }
  const note = `(${lines.length - kept.length} of ${lines.length} lines are left out)`;
  return keep === 'end' ? [note, ...kept.reverse()].join('\n') : [...kept, note].join('\n');
}

function bytesOf(text: string): number {
  return Buffer.byteLength(text);
}
