import { describeUrl } from '../url.ts';
import type { HttpRequest, HttpResponse } from './message.ts';
import { RedirectElsewhereError } from './network-reason.ts';

/**
 * Keys and tokens are sent along, so a redirect to another server is never followed, nor one from http to https or
 * back: anybody on the network may answer for plain http.
 */
export function leadsElsewhere(request: HttpRequest, target: string): RedirectElsewhereError {
  const [from, to] = [new URL(request.url), new URL(target)];
  const isDowngrade = from.protocol === 'https:' && to.protocol === 'http:';
  const isUpgrade = from.protocol === 'http:' && to.protocol === 'https:' && from.hostname === to.hostname;
  return new RedirectElsewhereError(
    `${request.method} ${describeUrl(request.url)}: the server redirects to ${describeUrl(target)}, which is not the server that was asked`,
    {
      hint: isDowngrade
        ? 'keys never go from https to http: the proxy in front of the server must send X-Forwarded-Proto: https, or set CATTLE_URL_OVERRIDE'
        : isUpgrade
          ? `the server wants https: use ${to.origin} in the URL given to the agent, and as "Host Registration URL" in the server`
          : 'if that is the right server, use its address in the URL given to the agent',
    },
  );
}

/** The URL to ask in the place of this one; undefined if the answer is no redirect that is followed. */
export function readRedirect(request: HttpRequest, response: HttpResponse): string | undefined {
  const location = response.headers['location'];
  if (location === undefined || ![301, 302, 303, 307, 308].includes(response.status)) return undefined;
  // A write is not repeated somewhere else: the caller sees the status and decides.
  if (request.method !== 'GET') return undefined;
  return URL.parse(location, request.url)?.href;
}
