import type { Clock } from '../../support/clock.ts';
import { deadlineIn } from '../../support/deadline.ts';
import { ServerUnavailableError } from '../../support/errors.ts';
import type { Limits } from '../../support/limits/limits.ts';
import { jittered, retry } from '../../support/retry.ts';
import { describeUrl } from '../url.ts';
import type { HttpClientOptions, HttpRequest, HttpResponse } from './message.ts';
import { explainNetworkError, isTransientReason } from './network-reason.ts';

/** 500 as well: Cattle answers with it while its database is away. */
const transientStatuses = new Set([429, 500, 502, 503, 504]);

/** A transient status on the way through `retry`, which knows errors only. */
class TransientAnswer extends Error {
  readonly response: HttpResponse;

  constructor(request: HttpRequest, response: HttpResponse) {
    super(`${request.method} ${describeUrl(request.url)}: status ${response.status}`);
    this.response = response;
  }
}

/**
 * Repeats a request as `repeat` of it says. The last answer counts, even a transient one.
 * @param exchange one try, with the time that is left as its deadline
 * @throws as `HttpClient.request`
 */
export async function repeatExchange(
  request: HttpRequest,
  options: HttpClientOptions,
  exchange: (request: HttpRequest) => Promise<HttpResponse>,
): Promise<HttpResponse> {
  const { limits, clock, log, signal } = options;
  const total = request.deadlineMs ?? limits.HTTP_TOTAL;
  const deadline = deadlineIn(total, clock);
  const pauseOf = jittered(limits.HTTP_RETRY_PAUSE_MIN, limits.HTTP_RETRY_PAUSE_MAX, () => clock.random());
  try {
    return await retry(
      {
        what: `${request.method} ${describeUrl(request.url)}`,
        tries: request.repeat === 'until-deadline' ? limits.SERVER_TRIES : limits.HTTP_TRIES,
        total,
        pause: (tries, error) => {
          const asked =
            error instanceof TransientAnswer ? readRetryAfter(error.response, clock.now()) : undefined;
          const own = pauseOf(tries);
          return asked === undefined ? own : spread(Math.max(asked, own), limits, clock);
        },
        worthRetrying: (error) =>
          deadline.left() > 0 && (error instanceof TransientAnswer || isTransientFailure(error)),
        clock,
        log,
        ...(signal === undefined ? {} : { signal }),
      },
      async () => {
        const deadlineMs = Math.min(limits.HTTP_TOTAL, deadline.left());
        const response = await exchange({ ...request, deadlineMs });
        if (transientStatuses.has(response.status)) throw new TransientAnswer(request, response);
        return response;
      },
    );
  } catch (error) {
    if (error instanceof TransientAnswer) return error.response;
    throw error;
  }
}

/** A pause that a server asks for: all of its hosts get the same, so up to a quarter is added by chance. */
function spread(asked: number, limits: Limits, clock: Clock): number {
  const pause = Math.min(limits.HTTP_RETRY_PAUSE_MAX, Math.max(limits.HTTP_RETRY_PAUSE_MIN, asked));
  return Math.round(pause + (clock.random() * pause) / 4);
}

function isTransientFailure(error: Error): boolean {
  if (!(error instanceof ServerUnavailableError)) return false;
  return isTransientReason(explainNetworkError(error.cause));
}

/**
 * `Retry-After` in ms from now: seconds or an HTTP date (RFC 9110 §10.2.3), which counts from the answer's own `Date`,
 * because the clock of this host may be wrong; undefined when absent or unreadable.
 */
export function readRetryAfter(response: Pick<HttpResponse, 'headers'>, now: number): number | undefined {
  const text = response.headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  const date = /^[A-Za-z]{3},/.test(text) ? Date.parse(text) : NaN;
  if (Number.isNaN(date)) return undefined;
  const sentAt = Date.parse(response.headers['date'] ?? '');
  return Math.max(0, date - (Number.isNaN(sentAt) ? now : sentAt));
}
