import * as v from 'valibot';
import { ServerUnavailableError } from '../../support/errors.ts';
import { printable, shorten } from '../../support/printable.ts';
import type { HttpResponse } from './message.ts';
import { describeUrl } from '../url.ts';

/** Longer quotes of an answer help nobody. */
const longestQuote = 300;

/** What to do when somebody else's words come back. */
export const notTheServer =
  'something answers in the place of the server: check the address, and the proxies between this host and the server';

/** The error document every failing API call answers with (control-plane §1.12). */
const errorSchema = v.object({
  type: v.literal('error'),
  status: v.optional(v.nullable(v.number())),
  code: v.optional(v.nullable(v.string())),
  message: v.optional(v.nullable(v.string())),
  detail: v.optional(v.nullable(v.string())),
});

/** The body as JSON, or undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** The API's own error in an answer: code and message in one line, or undefined when the body is something else. */
export function readApiError(response: Pick<HttpResponse, 'text'>): string | undefined {
  const parsed = v.safeParse(errorSchema, parseJson(response.text));
  if (!parsed.success) return undefined;
  const { code, message, detail } = parsed.output;
  const parts = [code, message, detail].filter((part) => part !== undefined && part !== null && part !== '');
  return quote([...new Set(parts)].join(': ')) || 'error without a message';
}

/** Whether the body is a web page: a captive portal, a login page, or the server's own user interface. */
export function isHtml(response: Pick<HttpResponse, 'text' | 'headers'>): boolean {
  if (/^[\s\uFEFF]*<(!doctype|html|head|body|\?xml|!--)/i.test(response.text)) return true;
  return (response.headers['content-type'] ?? '').toLowerCase().includes('html');
}

/** What kind of nonsense an answer is, for an error message. */
export function describeBody(response: Pick<HttpResponse, 'text' | 'headers'>): string {
  if (response.text.trim() === '') return 'an empty answer';
  if (isHtml(response)) return 'a web page (captive portal, login page, or wrong path in the URL?)';
  return parseJson(response.text) === undefined ? 'plain text' : 'JSON of another kind';
}

/**
 * Reads an answer of the API that must have succeeded and have a certain shape.
 * @param what named in the error, e.g. `list registrations`
 * @throws ServerUnavailableError for another status, something that is not JSON, or JSON of another shape
 */
export function readApiAnswer<TSchema extends v.GenericSchema>(
  what: string,
  response: HttpResponse,
  schema: TSchema,
): v.InferOutput<TSchema> {
  if (response.status < 200 || response.status > 299) throw unexpectedStatus(what, response);
  const parsed = v.safeParse(schema, parseJson(response.text));
  if (parsed.success) return parsed.output;
  throw new ServerUnavailableError(
    `${what}: ${describeUrl(response.url)} answers with ${describeBody(response)} instead of what the Rancher API answers`,
    { hint: notTheServer },
  );
}

/** The error for an answer whose status says that it failed, with the server's message if it is the API's. */
export function unexpectedStatus(what: string, response: HttpResponse): ServerUnavailableError {
  const originalMessage = readApiError(response);
  return new ServerUnavailableError(
    `${what}: ${describeUrl(response.url)} answers with status ${response.status}${originalMessage === undefined ? '' : ` (${originalMessage})`}`,
    originalMessage === undefined
      ? { hint: notTheServer }
      : {
          originalMessage,
          hint: 'the log of the server says more; run the command again when it is healthy',
        },
  );
}

/** One line without control characters, cut to a readable length. */
export function quote(text: string): string {
  return shorten(printable(text).replace(/ +/g, ' ').trim(), longestQuote);
}
