import type { Diagnosis } from '../doctor/diagnosis.ts';
import { checkNames, type Finding, type Level } from '../doctor/finding.ts';
import { formatDuration } from '../support/deadline.ts';
import { printableAll } from '../support/printable.ts';
import type { Terminal } from '../support/terminal.ts';
import { createPaint, type Paint } from './paint.ts';
import { wrap } from './wrap.ts';

const marks: Readonly<Record<Level, string>> = { ok: '✓', unknown: '?', warning: '!', unhealthy: '✗' };
/** ` ✓ ` and the longest name of a check. */
const margin = 3;
const nameWidth = Math.max(...checkNames.map((name) => name.length)) + 1;

/** The doctor's table: a line for each check, and below a fault what to do about it. */
export function renderDoctor(found: Diagnosis, terminal: Pick<Terminal, 'columns' | 'colour'>): string {
  const diagnosis = printableAll(found);
  const paint = createPaint(terminal.colour);
  const lines = withoutRepeats(diagnosis.findings).flatMap((finding) =>
    renderFinding(finding, terminal.columns, paint),
  );
  return [...lines, '', ...renderVerdict(diagnosis, terminal.columns, paint), ''].join('\n');
}

/** The same for a file. */
export function renderPlainDoctor(found: Diagnosis): string {
  return renderDoctor(found, { columns: 100, colour: false });
}

/** One thing that is missing often hides several others: the advice is shown once. */
function withoutRepeats(findings: readonly Finding[]): readonly Finding[] {
  return findings.map((finding, index) => {
    const isShown = findings.slice(0, index).some(({ advice }) => advice === finding.advice);
    const { advice, ...rest } = finding;
    return finding.level === 'unknown' && advice !== undefined && isShown ? rest : finding;
  });
}

function renderFinding(finding: Finding, columns: number, paint: Paint): readonly string[] {
  const { check, level, text, details = [], advice } = finding;
  const start = margin + nameWidth;
  const width = columns - start;
  const below = (lines: readonly string[]): string[] => lines.map((line) => `${' '.repeat(start)}${line}`);
  const [first = '', ...rest] = wrap(text, width);
  const mark = paintOf(level, paint)(marks[level]);
  return [
    ` ${mark} ${check.padEnd(nameWidth)}${first}`,
    ...below(rest),
    ...details.flatMap((detail) => below(wrap(detail, width)).map(paint.faint)),
    ...(advice === undefined ? [] : below(hang(advice, width)).map(paint.strong)),
  ];
}

/** An arrow before the first line, and the others below its text. */
function hang(advice: string, width: number): readonly string[] {
  return wrap(advice, width - 2).map((line, index) => `${index === 0 ? '→' : ' '} ${line}`);
}

function renderVerdict(diagnosis: Diagnosis, columns: number, paint: Paint): readonly string[] {
  const { verdict, causes, unknown, tookMs } = diagnosis;
  const blind = unknown.length === 0 ? '' : ` Could not be checked: ${[...new Set(unknown)].join(', ')}.`;
  const what = causes.length === 0 ? '' : `: ${causes.join(', ')}`;
  const took = ` Took ${formatDuration(tookMs)}, changed nothing.`;
  const lines = wrap(`${titles[verdict]}${what}.${blind}${took}`, columns - 1);
  const colour = verdict === 'healthy' ? paint.good : verdict === 'unhealthy' ? paint.bad : paint.warning;
  return lines.map((line, index) => ` ${index === 0 ? line.replace(titles[verdict], colour) : line}`);
}

const titles = { healthy: 'Healthy', warnings: 'Warnings', unhealthy: 'Unhealthy' } as const;

function paintOf(level: Level, paint: Paint): (text: string) => string {
  switch (level) {
    case 'ok':
      return paint.good;
    case 'unhealthy':
      return paint.bad;
    case 'warning':
      return paint.warning;
    case 'unknown':
      return paint.faint;
  }
}
