import { expect, it } from 'vitest';
import { parseSwitch } from '../support/server/stub/stub-switches.ts';
import { areRequestsOf } from '../support/faults/switch-requests.ts';
import { registrationRows, runRows, tlsRows } from '../support/faults/switch-table.ts';

it('every switch of the table is one that the stub server has', () => {
  const rows = [...registrationRows, ...tlsRows, ...runRows];
  for (const text of rows.flatMap(({ switches }) => switches)) {
    parseSwitch(text.replace('ELSEWHERE', 'http://elsewhere.example'));
  }
  expect(rows.length).toBeGreaterThan(100);
});

it.each([
  ['', [], true],
  ['', ['script'], false],
  ['script×2, root', ['script', 'script', 'root'], true],
  ['script×2', ['script'], false],
  ['script×2', ['script', 'script', 'script'], false],
  ['script, register-poll+', ['script'], false],
  ['script, register-poll+', ['script', 'register-poll', 'register-poll'], true],
  ['script', ['register-list'], false],
] as const)('requests of %j: %j is %s', (requests, endpoints, isSame) => {
  expect(areRequestsOf({ requests }, endpoints)).toBe(isSame);
});
