/** A line of a Markdown page that is not inside a fence of code. */
export interface ProseLine {
  readonly number: number;
  readonly text: string;
}

/** The lines outside of fences. */
export function proseOf(markdown: string): readonly ProseLine[] {
  const lines: ProseLine[] = [];
  let isCode = false;
  markdown.split('\n').forEach((text, index) => {
    if (/^\s*```/.test(text)) isCode = !isCode;
    else if (!isCode) lines.push({ number: index + 1, text });
  });
  return lines;
}

/** The headings of a page, without their signs. */
export function headingsOf(markdown: string): readonly string[] {
  return proseOf(markdown).flatMap(({ text }) => /^#+ (.+)$/.exec(text)?.[1] ?? []);
}

/** The anchors of a page, as GitHub derives them from its headings: the second of the same name ends in `-1`. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const seen = new Map<string, number>();
  return new Set(
    headingsOf(markdown).map((heading) => {
      const slug = heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replace(/\s/g, '-');
      const before = seen.get(slug) ?? 0;
      seen.set(slug, before + 1);
      return before === 0 ? slug : `${slug}-${before}`;
    }),
  );
}

/**
 * The sections of a page that can be cited: `5.3` of `### 5.3 What …`, `1.10` of the tenth item of a numbered list in section
 * 1, `6.2 B` of a paragraph that begins with `**(B)`, `2` of a paragraph or a table that begins with `**2. `.
 */
export function sectionsOf(markdown: string): ReadonlySet<string> {
  const sections = new Set<string>();
  let current = '';
  for (const { text } of proseOf(markdown)) {
    const heading = /^#+ (?:(\d+(?:\.\d+)*)\.? )?/.exec(text);
    const [, item] = /^(\d+)\. /.exec(text) ?? [];
    const [, letter] = /^\*\*\(([A-Z])\)/.exec(text) ?? [];
    const [, lead] = /^(?:\| )?\*\*(\d+)\. /.exec(text) ?? [];
    if (heading !== null) current = heading[1] ?? '';
    const found =
      heading === null ? (lead ?? within(current, item, '.') ?? within(current, letter, ' ')) : current;
    if (found !== undefined && found !== '') sections.add(found);
  }
  return sections;
}

function within(section: string, part: string | undefined, between: string): string | undefined {
  return section === '' || part === undefined ? undefined : `${section}${between}${part}`;
}
