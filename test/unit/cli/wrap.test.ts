import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { table, wrap } from '../../../src/cli/wrap.ts';

describe('wrap', () => {
  it('breaks at blanks, and never a word', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('docker run --rm IMAGE', 6)).toEqual(['docker', 'run', '--rm', 'IMAGE']);
  });

  it('leaves a text that fits as it is, columns of blanks included', () => {
    expect(wrap('agent   running', 15)).toEqual(['agent   running']);
  });

  it('loses no word, and no line is too long but for one long word', () => {
    const words = fc.array(fc.stringMatching(/^[a-z/:.-]{1,20}$/), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(words, fc.integer({ min: 5, max: 40 }), (given, width) => {
        const lines = wrap(given.join(' '), width);
        expect(lines.join(' ').split(' ')).toEqual(given);
        for (const line of lines) expect(line.length <= width || !line.includes(' ')).toBe(true);
      }),
    );
  });
});

describe('table', () => {
  it('wraps each text below itself, and a name that is too long gets a line of its own', () => {
    const rows = [
      ['name', 'a text that is longer than the line'],
      ['a name that is much too long', 'text'],
    ] as const;
    expect(table(rows, { columns: 30, indent: 2 })).toEqual([
      '  name         a text that is',
      '               longer than the',
      '               line',
      '  a name that is much too long',
      '               text',
    ]);
  });
});
