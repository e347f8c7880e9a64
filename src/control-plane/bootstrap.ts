import { ServerUnavailableError, messageOf } from '../support/errors.ts';
import { fixedLimits } from '../support/limits/fixed.ts';
import { isHtml, parseJson, readApiError } from './http/answer.ts';
import type { Credentials, HttpClient, HttpResponse } from './http/message.ts';
import { readRequiredImage, type RequiredImage } from './required-image.ts';
import { joinUrl } from './url.ts';

/** One whole bootstrap script. */
export interface BootstrapScript {
  /** As the server sent it. */
  readonly script: string;
  /** What it says about the image that the server requires of its agents. */
  readonly requiredImage: RequiredImage;
}

export type Bootstrap =
  | ({ readonly ok: true } & BootstrapScript)
  /** The reason is for people; so is the hint, where the error has one. */
  | {
      readonly ok: false;
      readonly refusal: BootstrapRefusal;
      readonly reason: string;
      readonly hint?: string;
    };

/** Why an answer is not run as a script. */
export type BootstrapRefusal =
  'unreachable' | 'status' | 'empty' | 'html' | 'json' | 'truncated' | 'not-a-script';

/**
 * Fetches the server's bootstrap script (control-plane §5.2). Only a complete text that looks like the script is
 * returned; everything else is a refusal with a reason for people. Never throws because of the server.
 */
export async function fetchBootstrap(
  client: HttpClient,
  cattleUrl: string,
  keys: Credentials,
): Promise<Bootstrap> {
  try {
    const url = joinUrl(cattleUrl, 'scripts/bootstrap');
    const maxBytes = fixedLimits.SERVER_SCRIPT;
    return judgeBootstrap(
      await client.request({ method: 'GET', url, credentials: keys, repeat: true, maxBytes }),
    );
  } catch (error) {
    if (!(error instanceof ServerUnavailableError)) throw error;
    const hint = error.hint === undefined ? {} : { hint: error.hint };
    return { ok: false, refusal: 'unreachable', reason: messageOf(error), ...hint };
  }
}

/** Pure: whether an answer is a bootstrap script that may be run. */
export function judgeBootstrap(response: Pick<HttpResponse, 'status' | 'text' | 'headers'>): Bootstrap {
  const refuse = (refusal: BootstrapRefusal, reason: string): Bootstrap => ({ ok: false, refusal, reason });
  const { status, text } = response;
  if (status !== 200) {
    const originalMessage = readApiError(response);
    return refuse(
      'status',
      `the server answers with status ${status}${originalMessage === undefined ? '' : `: ${originalMessage}`}`,
    );
  }
  if (text.trim() === '') return refuse('empty', 'the server answers with an empty bootstrap script');
  if (text.startsWith('#!/bin/bash\n')) {
    if (text.includes('\0')) return refuse('not-a-script', 'the bootstrap script has NUL bytes in it');
    if (!text.endsWith('\n')) return refuse('truncated', 'the bootstrap script is cut off');
    return { ok: true, script: text, requiredImage: readRequiredImage(text) };
  }
  if ('#!/bin/bash'.startsWith(text)) return refuse('truncated', 'the bootstrap script is cut off');
  if (isHtml(response)) {
    return refuse('html', 'the server answers with a web page instead of the bootstrap script');
  }
  if (parseJson(text) !== undefined) {
    return refuse('json', 'the server answers with JSON instead of the bootstrap script');
  }
  return refuse('not-a-script', 'the first line of the bootstrap script is not #!/bin/bash');
}
