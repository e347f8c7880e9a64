/** Colours of the words that matter; without a terminal, or with `NO_COLOR`, the same text as it is. */
export interface Paint {
  readonly good: (text: string) => string;
  readonly warning: (text: string) => string;
  readonly bad: (text: string) => string;
  readonly strong: (text: string) => string;
  readonly faint: (text: string) => string;
}

/** The paint for a terminal with, or without, colours (SGR sequences of ECMA-48, which every terminal knows). */
export function createPaint(colour: boolean): Paint {
  const sequence =
    (code: number) =>
    (text: string): string =>
      colour && text !== '' ? `\u001B[${code}m${text}\u001B[0m` : text;
  return {
    good: sequence(32),
    warning: sequence(33),
    bad: sequence(31),
    strong: sequence(1),
    faint: sequence(2),
  };
}
