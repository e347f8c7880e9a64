import { describe, expect, it } from 'vitest';
import { printable, printableLines } from '../../../src/support/printable.ts';

describe('a text that somebody else chose', () => {
  it.each([
    ['clears the screen', '\x1b[2Jx', String.raw`\x1b[2Jx`],
    ['is concealed by a C1 control', '\x9b8mgone', String.raw`\x9b8mgone`],
    ['sets the title of the window', '\x1b]0;owned\x07', String.raw`\x1b]0;owned\x07`],
    ['goes back on its line', 'bad\rok', 'bad ok'],
    ['rubs out', 'bad\b\b\bok\x7f', String.raw`bad\x08\x08\x08ok\x7f`],
    ['forges a line', 'pull failed\r\nINFO: ok', 'pull failed INFO: ok'],
    ['forges a line with a separator of Unicode', 'a\u2028b\u2029c\u0085d', 'a b c d'],
    ['turns its direction', 'a\u202egpj\u2066b\u061c', String.raw`a\u202egpj\u2066b\u061c`],
    ['hides characters', 'ran\u200bcher\ufeff\u00ad\u{e0041}', String.raw`ran\u200bcher\ufeff\xad\u{e0041}`],
    ['has a zero byte', 'a\0b', String.raw`a\x00b`],
    ['is harmless', 'Zürich, 日本, 🐄: "ok" \\ 100 %', 'Zürich, 日本, 🐄: "ok" \\ 100 %'],
  ])('that %s', (_what, text, safe) => {
    expect(printable(text)).toBe(safe);
    expect(printable(safe)).toBe(safe);
  });

  it('keeps its lines where it may have some', () => {
    expect(printableLines('one\r\ntwo\tx\n\x1b[2J\rthree\u2028four\n')).toBe(
      'one\ntwo    x\n\\x1b[2J\\x0dthree\\u2028four\n',
    );
  });

  it('has no control character of any plane that Unicode calls one', () => {
    const all = Array.from({ length: 0xd800 }, (_, code) => String.fromCharCode(code)).join('');
    expect(printable(all)).not.toMatch(
      /\p{Cc}|[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]|\p{Zl}|\p{Zp}/u,
    );
  });
});
