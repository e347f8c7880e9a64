import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { figureOf, median, type Bound } from '../../scripts/benchmark/figure.ts';
import { renderTable, replaceSection } from '../../scripts/benchmark/page.ts';

describe('a figure of scripts/bench', () => {
  it.each<[string, readonly number[], readonly number[], Bound, boolean]>([
    ['a ratio below its bound', [100, 90, 300], [100, 100, 100], { kind: 'ratio-at-most', value: 1.1 }, true],
    [
      'a ratio above its bound',
      [120, 90, 300],
      [100, 100, 100],
      { kind: 'ratio-at-most', value: 1.1 },
      false,
    ],
    ['a rate that is too low', [80], [100], { kind: 'ratio-at-least', value: 0.9 }, false],
    ['a rate that is high enough', [95], [100], { kind: 'ratio-at-least', value: 0.9 }, true],
    ['a ratio to nothing', [5], [0], { kind: 'ratio-at-most', value: 1.1 }, false],
    ['nothing beside something', [0], [200], { kind: 'ratio-at-most', value: 1 }, true],
    ['an amount above its bound', [81], [10], { kind: 'at-most', value: 80 }, false],
  ])('%s', (_title, ours, reference, bound, kept) => {
    const figure = figureOf('upgrade', 'a figure', 'ms', { ours, reference }, bound);
    expect(figure.kept).toBe(kept);
    expect(renderTable([figure])).toContain(kept ? '✓' : '✗');
  });

  it('that nothing is promised of is neither kept nor broken', () => {
    const figure = figureOf('upgrade', 'a figure', 'ms', { ours: [1] });
    expect(figure).not.toHaveProperty('kept');
    expect(renderTable([figure])).not.toMatch(/[✓✗]/);
  });

  it('is the middle one of its samples', () => {
    expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5]);
    expect(() => median([])).toThrow('nothing was measured');
  });
});

describe('the page of scripts/bench', () => {
  const page = [
    '# Title',
    '<!-- comparison: begin -->',
    'old',
    '<!-- comparison: end -->',
    '<!-- cleanup: begin -->',
    'kept',
    '<!-- cleanup: end -->',
  ].join('\n');

  it('gets one section replaced, and keeps the other one and what is around them', () => {
    const replaced = replaceSection(page, 'comparison', 'new\n');
    expect(replaced).toBe(page.replace('\nold\n', '\n\nnew\n\n'));
    expect(replaceSection(replaced, 'comparison', 'new')).toBe(replaced);
  });

  it('is refused where it has lost the marks of a section', () => {
    expect(() => replaceSection(page.replace('<!-- cleanup: end -->', ''), 'cleanup', 'new')).toThrow(
      'the page has no section cleanup',
    );
  });

  it('has both sections', () => {
    const text = readFileSync(join(import.meta.dirname, '../../docs/development/benchmark.md'), 'utf8');
    expect(replaceSection(replaceSection(text, 'comparison', 'a'), 'cleanup', 'b')).toContain('a\n\n<!--');
  });
});
