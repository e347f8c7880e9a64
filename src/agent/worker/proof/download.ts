import { isHtml, readApiError } from '../../../control-plane/http/answer.ts';
import type { HttpResponse } from '../../../control-plane/http/message.ts';
import { AnswerTooLongError } from '../../../control-plane/http/network-reason.ts';
import { openConnection, readAgentSettings } from '../../../control-plane/open-connection.ts';
import { joinUrl } from '../../../control-plane/url.ts';
import { fixedLimits } from '../../../support/limits/fixed.ts';
import { messageOf, ServerUnavailableError } from '../../../support/errors.ts';
import type { Observed } from '../../transaction/observe.ts';
import type { Work } from '../session.ts';

/** What the bootstrap downloads, in this order (control-plane §5.3). */
const items = ['configscripts', 'pyagent'];

/**
 * Measures whether the server sends an agent its parts, by our own client and with that agent's keys: what its bootstrap would
 * get. Only after a bootstrap has failed, which has sent the same requests: they have an effect at the server (control-plane §6.1).
 * More than once, as behind a load balancer one answer proves little.
 * @returns what is wrong with the download; undefined if it is sound each time, or cannot be measured
 */
export async function findDownloadFault(work: Work, agent: Observed): Promise<string | undefined> {
  const { limits } = work.configuration;
  try {
    const { cattleUrl, keys } = readAgentSettings(agent.environment);
    work.secrets.add(keys.secretKey);
    const base = agent.environment['CATTLE_CONFIG_URL'] ?? cattleUrl;
    const { client } = await openConnection(work, base, { tools: false, readOnly: true });
    for (let tries = 0; tries < limits.REACH_TRIES; tries += 1) {
      for (const item of items) {
        const url = joinUrl(base, `configcontent/${item}`);
        const request = { method: 'GET', url, credentials: keys, deadlineMs: limits.READY_REQUEST } as const;
        const fault = judgeDownload(
          await client.request({ ...request, maxBytes: fixedLimits.SERVER_SCRIPT }).catch(unlessLong),
        );
        if (fault !== undefined) return `${item}: ${fault}`;
      }
    }
    return undefined;
  } catch (error) {
    work.signal.throwIfAborted();
    if (error instanceof ServerUnavailableError) return messageOf(error);
    work.log.warn('could not measure whether the server sends the agent its parts', {
      error: messageOf(error),
    });
    return undefined;
  }
}

type Download = Pick<HttpResponse, 'status' | 'text' | 'headers'>;

/** The agent itself has some MB: its beginning is enough. */
function unlessLong(error: unknown): undefined {
  if (error instanceof AnswerTooLongError) return undefined;
  throw error;
}

/** Pure. A server may know no such item, and says so by its API; an archive is compressed by gzip. */
export function judgeDownload(answer: Download | undefined): string | undefined {
  if (answer === undefined) return undefined;
  const { status, text } = answer;
  if (status === 200 && text.startsWith('\u001f')) return undefined;
  const originalMessage = readApiError(answer);
  if (status === 404 && originalMessage !== undefined) return undefined;
  const what = isHtml(answer) ? 'a web page' : (originalMessage ?? 'no archive');
  return `the server answers with status ${status} and ${what}`;
}
