import { describe, expect, it } from 'vitest';
import { renderPage, type Figures } from '../../scripts/vm/page.ts';
import { drawPool } from '../../scripts/vm/pool-chart.ts';
import { parsePoolSample, percentOf } from '../../scripts/vm/pool.ts';

const line = (seconds: number, used: number, mode = 'rw', check = '-'): string =>
  `${seconds}.25 0 12582912 thin-pool 5 ${used}/1024 5700/98304 - ${mode} discard_passdown queue_if_no_space ${check} 1024 `;

function sample(
  seconds: number,
  used: number,
  mode?: string,
): NonNullable<ReturnType<typeof parsePoolSample>> {
  const found = parsePoolSample(line(seconds, used, mode));
  if (found === undefined) throw new Error('no sample');
  return found;
}

describe('what dmsetup prints about a thin pool', () => {
  it('has the used metadata, the mode and whether it needs a check', () => {
    expect(parsePoolSample(line(63, 283))).toEqual({
      ...{ seconds: 63.25, used: 283, total: 1024, mode: 'rw', needsCheck: false },
    });
    expect(parsePoolSample(line(64, 1024, 'ro', 'needs_check'))).toMatchObject({
      ...{ mode: 'ro', needsCheck: true },
    });
    expect(percentOf({ used: 728, total: 1024 })).toBe(71.1);
  });

  it('may be a pool that failed', () => {
    expect(parsePoolSample('70.1 0 12582912 thin-pool Fail')).toMatchObject({ mode: 'Fail' });
  });

  it.each(['', '12.5', 'Device docker-thinpool not found', '12.5 0 100 linear 254:16 2048'])(
    'is left out otherwise: "%s"',
    (other) => {
      expect(parsePoolSample(other)).toBeUndefined();
    },
  );
});

describe('the page of scripts/incident-vm', () => {
  const figures: Figures = {
    ...{ date: '2026-11-29', kernel: '6.1.0-50-amd64', engine: '20.10.24', metadataMb: 4, helpers: 98 },
    steps: [
      {
        name: 'cleanup',
        isAsDescribed: true,
        outcome: '98 removed | 0 failed',
        before: sample(100, 940),
        after: sample(150, 145),
      },
    ],
    samples: [sample(60, 120), sample(100, 1024, 'ro'), sample(120, 1024, 'ro'), sample(150, 145)],
  };

  it('says how long each step took and what it did to the metadata', () => {
    expect(renderPage(figures)).toContain(
      '| ✓ cleanup | 50 | 940 → 145 of 1024 | 91.8 → 14.2 % | 98 removed \\| 0 failed |',
    );
  });

  it('says what a leaked helper costs', () => {
    const step = { name: 'helpers leak until 71 %', isAsDescribed: true, outcome: '' };
    const leaks = { ...step, before: sample(10, 150), after: sample(20, 640) };
    expect(renderPage({ ...figures, steps: [leaks] })).toContain('took 5.0 blocks of metadata (98 helpers)');
    expect(renderPage({ ...figures, helpers: 0 })).toContain('No helper leaked.');
  });

  it('has a chart that marks when the pool was read-only', () => {
    const chart = drawPool(figures);
    expect(chart.match(/class="read-only"/g)).toHaveLength(1);
    expect(chart).toContain('90 %: upgrades are deferred');
  });

  it('is drawn without any sample as well', () => {
    expect(drawPool({ ...figures, samples: [] })).not.toContain('NaN');
  });
});
