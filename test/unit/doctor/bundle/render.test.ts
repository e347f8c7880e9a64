import { describe, expect, it } from 'vitest';
import { renderBundle, type Section } from '../../../../src/doctor/bundle/render.ts';
import { createSecrets } from '../../../../src/support/secrets.ts';

const limits = { BUNDLE_SECTION: 200, BUNDLE_BYTES: 1_000 };
const secret = 'quote"and\\backslash';

function render(sections: readonly Section[], changes: Partial<typeof limits> = {}): string {
  const secrets = createSecrets();
  secrets.add(secret);
  return renderBundle('hello\n', sections, secrets, { ...limits, ...changes });
}

describe('a support bundle', () => {
  it('masks a secret in a text, in a title, and in JSON, where it is written in another way', () => {
    const text = render([
      { title: `of ${secret}`, content: `it is ${secret}`, keep: 'begin' },
      { title: 'json', content: { at: [secret] }, keep: 'begin' },
    ]);
    expect(text).not.toContain('backslash');
    expect(text.match(/\*\*\*/g)).toHaveLength(3);
  });

  it('leaves JSON whole, whatever is masked in it', () => {
    const content = { command: 'sh -c TOKEN=abc" x', url: 'http://a:b"c@d' };
    const text = render([{ title: 'json', content, keep: 'begin' }]);
    const json = text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1);
    expect(JSON.parse(json)).toMatchObject({ command: 'sh -c TOKEN=***" x' });
  });

  it('masks before it shortens: half a secret at a cut would be nobody’s', () => {
    const content = `${'x'.repeat(150)}\n${'y'.repeat(30)} ${secret} ${'z'.repeat(100)}\n`;
    for (const keep of ['begin', 'end'] as const)
      expect(render([{ title: 't', content, keep }])).not.toMatch(/quote|slash/);
  });

  it.each([
    ['begin', 'line 0\nline 1\n', '(80 of 100 lines are left out)\n'],
    ['end', '(80 of 100 lines are left out)\n', 'line 98\nline 99\n'],
  ] as const)('keeps the %s of a section that is too long, in whole lines', (keep, first, last) => {
    const content = Array.from({ length: 100 }, (_, index) => `line ${index}`).join('\n');
    const text = render([{ title: 't', content, keep }], { BUNDLE_SECTION: keep === 'end' ? 160 : 150 });
    expect(text.split('==== t ====\n')[1]?.startsWith(first)).toBe(true);
    expect(text.endsWith(last)).toBe(true);
  });

  it('has a limit for all sections, and names those that are left out', () => {
    const sections = Array.from({ length: 20 }, (_, index): Section => ({
      title: `section ${index}`,
      content: 'x'.repeat(150),
      keep: 'begin',
    }));
    const text = render(sections);
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(limits.BUNDLE_BYTES + 200);
    expect(text).toContain('==== section 0 ====');
    expect(text).toMatch(/left out, because the bundle would be too large ====\nsection 4\n/);
  });

  it('is safe on a terminal, and no line of a log looks like a head', () => {
    const text = render([
      { title: 'log', content: '\u001B[2Jgone\n==== doctor ====\nfine\r\n', keep: 'end' },
    ]);
    expect(text).toContain('\\x1b[2Jgone\n ==== doctor ====\nfine\n');
    expect(text.match(/^====/gm)).toHaveLength(1);
  });
});
