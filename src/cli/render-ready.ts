import type { ReadinessResult } from '../agent/run/readiness/result.ts';
import { printableAll } from '../support/printable.ts';
import type { Terminal } from '../support/terminal.ts';
import { createPaint } from './paint.ts';
import { wrap } from './wrap.ts';

/** A line for each check, then warnings, then the verdict with what to do. */
export function renderReady(
  result: ReadinessResult,
  { columns, colour }: Pick<Terminal, 'columns' | 'colour'>,
): string {
  const paint = createPaint(colour);
  const { passed, failure, warnings = [], server } = printableAll(result);
  const block = (mark: string, text: string): readonly string[] =>
    wrap(text, columns - 3).map((line, index) => (index === 0 ? ` ${mark} ${line}` : `   ${line}`));
  const lines = [
    ...passed.map((check) => ` ${paint.good('✓')} ${check}`),
    ...(failure === undefined ? [] : block(paint.bad('✗'), `${failure.check}: ${failure.message}`)),
    ...(failure?.hint === undefined ? [] : block(' ', `→ ${failure.hint}`).map(paint.strong)),
    ...warnings.flatMap((warning) => block(paint.warning('!'), `programs: ${warning}`)),
    '',
    failure === undefined
      ? ` ${paint.good('Ready')}: this image can work for ${server}.`
      : ` ${paint.bad('Not ready')}: ${failure.cause}.`,
    '',
  ];
  return lines.join('\n');
}
