/**
 * A text in lines of at most `width` characters, broken at blanks. A longer word stays whole: nobody can copy a command or an
 * image's name that is cut.
 */
export function wrap(text: string, width: number): readonly string[] {
  if (text.length <= width) return [text];
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/ +/)) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (line !== '' && longer.length > width) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line];
}

/**
 * Rows of a column of names and a column of texts, each text wrapped below itself.
 * @param columns of the terminal; a column of texts never gets narrower than half of it
 */
export function table(
  rows: readonly (readonly [name: string, text: string])[],
  options: { readonly columns: number; readonly indent: number; readonly nameWidth?: number },
): readonly string[] {
  const { columns, indent } = options;
  const longest = options.nameWidth ?? Math.max(...rows.map(([name]) => name.length));
  const nameWidth = Math.min(longest, Math.floor(columns / 2) - indent - 2);
  const margin = ' '.repeat(indent);
  const start = indent + nameWidth + 2;
  return rows.flatMap(([name, text]) => {
    const [first = '', ...rest] = wrap(text, columns - start);
    const below = rest.map((line) => `${' '.repeat(start)}${line}`);
    if (name.length > nameWidth + 1 && first !== '') {
      return [`${margin}${name}`, `${' '.repeat(start)}${first}`, ...below];
    }
    return [`${margin}${name.padEnd(nameWidth + 1)} ${first}`.trimEnd(), ...below];
  });
}
