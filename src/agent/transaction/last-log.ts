import type { Engine } from '../../engine/engine.ts';
import { isEngineError } from '../../engine/errors.ts';
import { messageOf } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';

/**
 * The last log lines of an agent that exited. The rollback removes its container together with its log, so only these lines
 * can show the reason.
 * @param scrub masks secrets; it runs before the text is cut, because it cannot recognise half a secret
 * @returns the lines; if there are none, one line that says why. Never throws
 */
export async function readLastLog(
  engine: Pick<Engine, 'readLogTail'>,
  id: string,
  limits: Limits,
  scrub: (text: string) => string,
): Promise<readonly string[]> {
  try {
    const lines = lastLinesOf(scrub(await engine.readLogTail(id)), limits);
    return lines.length === 0 ? ['(it wrote nothing to its log)'] : lines;
  } catch (error) {
    const reason = isEngineError(error) ? error.originalMessage : messageOf(error);
    return lastLinesOf(scrub(`could not be read: ${reason}`), limits);
  }
}

/** The end of a text as lines that can be shown on any terminal; empty lines are left out. */
export function lastLinesOf(
  text: string,
  { LOG_TAIL_LINES, LOG_TAIL_BYTES }: Pick<Limits, 'LOG_TAIL_LINES' | 'LOG_TAIL_BYTES'>,
): readonly string[] {
  const lines = text.split('\n').map(visibleLine);
  const kept: string[] = [];
  let left = LOG_TAIL_BYTES;
  for (const line of lines
    .filter((each) => each !== '')
    .slice(-LOG_TAIL_LINES)
    .reverse()) {
    const whole = Buffer.byteLength(line) <= left;
    kept.unshift(whole ? line : cutTo(line, left));
    left -= Buffer.byteLength(line);
    if (left <= 0) break;
  }
  return kept.filter((line) => line !== '');
}

/** Removes colours, cursor movements and every other invisible character. */
function visibleLine(line: string): string {
  return line
    .replace(/\p{Cc}\[[\d;?]*[ -/]*[@-~]/gu, '')
    .replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();
}

/** The beginning of a line, because the reason is usually there. Never cuts in the middle of a character. */
function cutTo(line: string, bytes: number): string {
  const mark = '…';
  const room = bytes - Buffer.byteLength(mark);
  if (room <= 0) return '';
  const end = new TextDecoder().decode(Buffer.from(line).subarray(0, room), { stream: true });
  return `${end}${mark}`;
}
