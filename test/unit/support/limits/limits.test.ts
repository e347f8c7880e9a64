import { describe, expect, it } from 'vitest';
import { defaultLimits, describeLimits, readLimits } from '../../../../src/support/limits/limits.ts';

describe('limits', () => {
  it('give a reason for each number', () => {
    for (const row of describeLimits()) {
      expect(row.why, row.variable).not.toBe('');
      expect(row.value, row.variable).toBeGreaterThan(0);
      expect(Number.isInteger(row.value), row.variable).toBe(true);
    }
  });

  it('can be set one by one', () => {
    const { limits, problems } = readLimits({ AGENT_LIMIT_STOP_GRACE: '7000', AGENT_LIMIT_SWEEP_COUNT: '0' });
    expect(problems).toEqual([]);
    expect(limits).toEqual({ ...defaultLimits, STOP_GRACE: 7_000, SWEEP_COUNT: 0 });
  });

  it('stay as they are when a variable is empty', () => {
    expect(readLimits({ AGENT_LIMIT_STOP_GRACE: '' })).toEqual({ limits: defaultLimits, problems: [] });
  });

  // 2147483648 ms is one more than a timer holds: it would fire at once.
  it.each(['-1', '1.5', '10s', 'Infinity', '2147483648', '99999999999'])('refuse %s', (text) => {
    const { limits, problems } = readLimits({ AGENT_LIMIT_STOP_GRACE: text });
    expect(limits).toEqual(defaultLimits);
    expect(problems).toEqual([
      `AGENT_LIMIT_STOP_GRACE must be a whole number up to 2147483647 (ms), not "${text}"`,
    ]);
  });

  it('fit together', () => {
    expect(defaultLimits.LOCK_STALE).toBeGreaterThanOrEqual(2 * defaultLimits.LOCK_REFRESH);
    expect(defaultLimits.ATTEMPT_PAUSE_MAX).toBeGreaterThan(defaultLimits.ATTEMPT_PAUSE_MIN);
    expect(defaultLimits.CHILD_GRACE).toBeLessThan(10_000);
  });
});
