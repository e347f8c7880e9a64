import { ConfigurationError, ServerUnavailableError } from '../../support/errors.ts';
import { describeBody, readApiError, unexpectedStatus } from '../http/answer.ts';
import type { HttpResponse } from '../http/message.ts';
import { parseShellAssignment } from '../shell/assignment.ts';
import { describeUrl } from '../url.ts';

/** What the registration script sets (control-plane §3). */
export interface RegistrationScript {
  /** `CATTLE_URL`: where the server says its API is. */
  readonly cattleUrl: string;
  /** `CATTLE_REGISTRATION_ACCESS_KEY`: always `registrationToken`. */
  readonly accessKey: string;
  /** `CATTLE_REGISTRATION_SECRET_KEY`: the registration token. */
  readonly secretKey: string;
  /** `DETECTED_CATTLE_AGENT_IP`: the address the server saw, unchecked. */
  readonly detectedAgentIp: string | undefined;
}

export type ParsedRegistrationScript =
  | { readonly ok: true; readonly script: RegistrationScript }
  | { readonly ok: false; readonly problem: string };

const knownNames = [
  'CATTLE_REGISTRATION_ACCESS_KEY',
  'CATTLE_REGISTRATION_SECRET_KEY',
  'CATTLE_URL',
  'DETECTED_CATTLE_AGENT_IP',
] as const;

/**
 * Reads the registration script; nothing of it is executed. The server writes `#!/bin/sh`, an empty line and four
 * `export NAME="VALUE"` lines, unchanged from 0.165.4 to 0.183.83, with LF line ends (control-plane §3). Anything else
 * is refused: a text with other lines or with CRLF ends was not written, or not delivered, by a server.
 */
export function parseRegistrationScript(text: string): ParsedRegistrationScript {
  const refuse = (problem: string): ParsedRegistrationScript => ({ ok: false, problem });
  if (!text.startsWith('#!/bin/sh')) return refuse('the first line is not #!/bin/sh');
  if (text.includes('\r')) return refuse('the lines end in CRLF: something between changed the text');
  if (!text.startsWith('#!/bin/sh\n')) return refuse('the first line is not #!/bin/sh');
  if (!text.endsWith('\n')) return refuse('the text is cut off');
  const values = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (index === 0 || line.trim() === '') continue;
    const problem = addLine(line, values);
    if (problem !== undefined) return refuse(`line ${index + 1} ${problem}`);
  }
  return composeScript(values);
}

/**
 * Reads the answer to a request for the registration script (control-plane §3, "Errors").
 * @throws ConfigurationError when the server does not know the token; ServerUnavailableError for anything that is not
 *   the script
 */
export function readRegistrationScript(response: HttpResponse): RegistrationScript {
  const shown = describeUrl(response.url);
  if (response.status === 404) {
    throw createUnknownTokenError(response.url, readApiError(response));
  }
  if (response.status !== 200) throw unexpectedStatus('load the registration script', response);
  const parsed = parseRegistrationScript(response.text);
  if (parsed.ok) return parsed.script;
  const answer = response.text.startsWith('#!') ? '' : `: ${describeBody(response)}`;
  throw new ServerUnavailableError(
    `${shown} does not answer with a registration script (${parsed.problem})${answer}`,
    { hint: 'check that the URL is the one from "Add Host" and that nothing between changes the answer' },
  );
}

/** The error for a token that the server answers with 404 (never 401, control-plane §3). */
export function createUnknownTokenError(
  url: string,
  originalMessage: string | undefined,
): ConfigurationError {
  return new ConfigurationError(`the server does not know the registration token in ${describeUrl(url)}`, {
    hint: 'the token is wrong or has expired, or its environment is not active: copy the command from "Add Host" again',
    ...(originalMessage === undefined ? {} : { originalMessage }),
  });
}

/** Adds the value of a line to `values`, or says what is wrong with the line without repeating it. */
function addLine(line: string, values: Map<string, string>): string | undefined {
  const assignment = parseShellAssignment(line);
  if ('problem' in assignment) return assignment.problem;
  const name = knownNames.find((each) => each === assignment.name);
  if (name === undefined) return `sets something other than ${knownNames.join(', ')}`;
  if (values.has(name)) return `sets ${name} a second time`;
  // The server inserts its values without escaping (control-plane §3): none of these can be honest, even escaped.
  if (/[$`"'\\\p{Cc}\p{Zl}\p{Zp}]/u.test(assignment.value))
    return 'has a character no URL, address or token has';
  values.set(name, assignment.value);
  return undefined;
}

function composeScript(values: ReadonlyMap<string, string>): ParsedRegistrationScript {
  const cattleUrl = values.get('CATTLE_URL') ?? '';
  const accessKey = values.get('CATTLE_REGISTRATION_ACCESS_KEY') ?? '';
  const secretKey = values.get('CATTLE_REGISTRATION_SECRET_KEY') ?? '';
  const detectedAgentIp = values.get('DETECTED_CATTLE_AGENT_IP');
  if (cattleUrl === '') return { ok: false, problem: 'CATTLE_URL is missing' };
  if (accessKey === '' || secretKey === '')
    return { ok: false, problem: 'the registration keys are missing' };
  return {
    ok: true,
    script: { cattleUrl, accessKey, secretKey, detectedAgentIp: detectedAgentIp || undefined },
  };
}
