import { describe, expect, it } from 'vitest';
import { fixedLimits } from '../../../../src/support/limits/fixed.ts';
import {
  defaultLimits,
  describeLimits,
  isLimitVariable,
  readLimits,
  variableOf,
  type LimitName,
} from '../../../../src/support/limits/limits.ts';

describe('the public limits', () => {
  it('have a reason, and a whole number above zero', () => {
    for (const row of describeLimits()) {
      expect(row.why, row.variable).not.toBe('');
      expect(row.value, row.variable).toBeGreaterThan(0);
      expect(Number.isInteger(row.value), row.variable).toBe(true);
    }
  });

  it('are about twenty: a person who reads all of them still knows the first', () => {
    expect(describeLimits().length).toBeGreaterThan(15);
    expect(describeLimits().length).toBeLessThanOrEqual(25);
  });
});

describe('the limits', () => {
  it('are whole numbers above zero, the ones that nothing can change among them', () => {
    for (const [name, value] of Object.entries({ ...defaultLimits, ...fixedLimits })) {
      expect(value, name).toBeGreaterThan(0);
      expect(Number.isInteger(value), name).toBe(true);
    }
  });

  it('can be set one by one, whether they are public or not', () => {
    const { limits, problems } = readLimits({ AGENT_LIMIT_STOP_GRACE: '7000', AGENT_LIMIT_LOCK_POLL: '0' });
    expect(problems).toEqual([]);
    expect(limits).toEqual({ ...defaultLimits, STOP_GRACE: 7_000, LOCK_POLL: 0 });
  });

  it('are all known by their variable, and those that nothing can change are not', () => {
    for (const name of Object.keys(defaultLimits) as LimitName[])
      expect(isLimitVariable(variableOf(name)), name).toBe(true);
    for (const name of Object.keys(fixedLimits))
      expect(isLimitVariable(`AGENT_LIMIT_${name}`), name).toBe(false);
  });

  it('stay as they are when a variable is empty', () => {
    expect(readLimits({ AGENT_LIMIT_STOP_GRACE: '' })).toEqual({ limits: defaultLimits, problems: [] });
  });

  // 2147483648 ms is one more than a timer holds: it would fire at once.
  it.each(['-1', '1.5', '10s', 'Infinity', '2147483648', '99999999999'])(
    'do not take %s, and the message says what they take',
    (text) => {
      const { limits, problems } = readLimits({ AGENT_LIMIT_STOP_GRACE: text, AGENT_LIMIT_LOCK_POLL: text });
      expect(limits).toEqual(defaultLimits);
      expect(problems).toEqual([
        `AGENT_LIMIT_STOP_GRACE must be a whole number up to 2147483647 (ms), not "${text}"`,
        `AGENT_LIMIT_LOCK_POLL must be a whole number up to 2147483647, not "${text}"`,
      ]);
    },
  );

  it('fit together', () => {
    expect(defaultLimits.LOCK_STALE).toBeGreaterThanOrEqual(2 * defaultLimits.LOCK_REFRESH);
    expect(defaultLimits.MOUNTS_LOCK_STALE).toBeGreaterThanOrEqual(2 * defaultLimits.MOUNTS_LOCK_REFRESH);
    expect(defaultLimits.ATTEMPT_PAUSE_MAX).toBeGreaterThan(defaultLimits.ATTEMPT_PAUSE_MIN);
    expect(defaultLimits.READY_REQUEST).toBeGreaterThan(defaultLimits.HTTP_CONNECT);
    expect(defaultLimits.DOCTOR_INSPECT).toBeLessThan(defaultLimits.DOCTOR_CALL);
    expect(defaultLimits.SERVING_WAIT).toBeGreaterThanOrEqual(2 * defaultLimits.SERVING_TICK);
    expect(defaultLimits.CHILD_GRACE).toBeLessThan(10_000);
  });
});
