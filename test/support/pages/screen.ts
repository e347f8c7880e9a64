/** The terminal of docs/screens.md. */
export const terminal = { columns: 80, colour: false } as const;

/** A screen as a fence of Markdown. */
export function screen(text: string): string {
  return `\`\`\`\n${text.trimEnd()}\n\`\`\`\n`;
}

/** Screens with a sentence before each. */
export function screens(scenes: readonly (readonly [sentence: string, text: string])[]): string {
  return scenes.map(([sentence, text]) => `${sentence}\n\n${screen(text)}`).join('\n');
}
