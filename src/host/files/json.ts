import * as v from 'valibot';

/*
 * The errors of `JSON.parse` and of valibot quote the text. A file may hold a secret, or be another file than it should be, so nothing
 * of its text gets into a message.
 */

/** As `JSON.parse`. @throws Error without a word of the text */
export function parseJsonText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Error('it is not JSON');
  }
}

/** Where a text departs from its schema, and what was expected there; not what was found. @param what the whole text */
export function describeMismatch(issue: v.BaseIssue<unknown>, what: string): string {
  return `${v.getDotPath(issue) ?? what}: not ${issue.expected ?? 'as it should be'}`;
}

/** A text as its schema says. @throws Error without a word of the text */
export function parseJsonAs<TSchema extends v.GenericSchema>(
  text: string,
  schema: TSchema,
  what: string,
): v.InferOutput<TSchema> {
  const parsed = v.safeParse(schema, parseJsonText(text));
  if (parsed.success) return parsed.output;
  throw new Error(describeMismatch(parsed.issues[0], what));
}
