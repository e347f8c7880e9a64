import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';

/*
 * Every wait has its row, with a reason, in src/support/limits. A number is a duration here when it is where a timer
 * gets its time:
 * in that argument of a call that waits, or under a name that ends in `Ms` or is `timeout`. Counts, sizes and units
 * are none.
 */

/** Calls that wait, by the last part of their name, and the argument that says how long. */
const waits: Readonly<Record<string, number>> = {
  setTimeout: 1,
  setInterval: 1,
  delay: 0,
  sleep: 0,
  timeout: 0,
  deadlineIn: 0,
  withDeadline: 1,
  doubling: 0,
  jittered: 0,
};

const units = /^(second|minute|hour|day)Ms$/;

function findLiteralDurations(name: string, text: string): readonly string[] {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
  const found: string[] = [];
  const report = (node: ts.Node): void => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${name}:${line + 1}: ${node.getText()}`);
  };
  const visit = (node: ts.Node): void => {
    const duration = durationOf(node);
    if (duration !== undefined && hasLiteral(duration)) report(node);
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** The expression that says how long something waits. */
function durationOf(node: ts.Node): ts.Node | undefined {
  if (ts.isCallExpression(node)) {
    const name = node.expression.getText().split('.').at(-1) ?? '';
    return Object.hasOwn(waits, name) ? node.arguments[waits[name] ?? 0] : undefined;
  }
  const isNamed = ts.isPropertyAssignment(node) || ts.isVariableDeclaration(node) || ts.isParameter(node);
  if (!isNamed || node.initializer === undefined) return undefined;
  const name = node.name.getText();
  const isDuration = (name.endsWith('Ms') && !units.test(name)) || name === 'timeout';
  return isDuration && isArithmetic(node.initializer) ? node.initializer : undefined;
}

/** A sum of numbers and limits. A function or a call says nothing of a duration by the numbers inside it. */
function isArithmetic(node: ts.Node): boolean {
  if (ts.isBinaryExpression(node)) return isArithmetic(node.left) && isArithmetic(node.right);
  return ts.isNumericLiteral(node) || ts.isPropertyAccessExpression(node) || ts.isIdentifier(node);
}

/** Nothing and a millisecond, as in `Math.max(1, …)`, are no durations. */
function hasLiteral(node: ts.Node): boolean {
  if (ts.isNumericLiteral(node)) return Number(node.text) > 1;
  return ts.forEachChild(node, (child) => hasLiteral(child) || undefined) === true;
}

describe('a literal duration', () => {
  it('stands nowhere in src but in the limits', () => {
    const root = join(import.meta.dirname, '../..');
    const files = globSync('src/**/*.ts', { cwd: root }).filter((name) => !name.includes('support/limits/'));
    expect(files.length).toBeGreaterThan(100);
    const found = files.flatMap((name) => findLiteralDurations(name, readFileSync(join(root, name), 'utf8')));
    expect(found).toEqual([]);
  });

  it.each([
    'setTimeout(resolve, 10)',
    'await clock.sleep(2_000, signal)',
    'await clock.sleep(limits.READY_POLL * 4, signal)',
    'AbortSignal.timeout(5 * 1000)',
    "await withDeadline('read', 500, work)",
    'const deadlineMs = 30_000',
    'connect({ timeout: 5_000 })',
    'connect({ deadlineMs: limits.READY + 2_000 })',
  ])('is found in %s', (text) => {
    expect(findLiteralDurations('sample.ts', text)).toHaveLength(1);
  });

  it.each([
    'setTimeout(resolve, limits.LEAVE_POLL)',
    'await clock.sleep(Math.max(1, limits.STOP), signal)',
    'setTimeout(() => { tries = 10; }, ms)',
    'const dayMs = 24 * 3_600_000',
    'const longestName = 100',
    'const ageMs = (now - begun) / 1000 + parse(text, 10)',
  ])('is not seen in %s', (text) => {
    expect(findLiteralDurations('sample.ts', text)).toEqual([]);
  });
});
