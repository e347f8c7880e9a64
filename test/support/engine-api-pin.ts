/**
 * Makes a new engine look like one that speaks nothing newer than a given API version. Measured on 1.10.3 (API 1.22):
 * no `Api-Version` header, `HEAD /_ping` is 404, a newer prefix is a 400 in plain text.
 */
export interface ApiPin {
  /** e.g. `1.22` */
  version: string;
}

interface EngineRequest {
  method: string;
  /** Without the version prefix. */
  path: string;
  apiVersion?: string;
}

interface PinnedAnswer {
  status: number;
  contentType?: string;
  body?: unknown;
}

/** What such an engine says without doing anything, or undefined if it would do the request. */
export function answerOfOldEngine(pin: ApiPin, request: EngineRequest): PinnedAnswer | undefined {
  if (request.apiVersion !== undefined && compareVersions(request.apiVersion, pin.version) > 0) {
    const versions = `(client API version: ${request.apiVersion}, server API version: ${pin.version})`;
    return {
      status: 400,
      contentType: 'text/plain; charset=utf-8',
      body: `client is newer than server ${versions}\n`,
    };
  }
  if (request.method === 'HEAD' && request.path === '/_ping')
    return { status: 404, contentType: 'text/plain' };
  return undefined;
}

/** The same request as that engine would understand it: without a prefix it means the engine's own version. */
export function pinPath(pin: ApiPin, url: string): string {
  return /^\/v\d+\.\d+\//.test(url) ? url : `/v${pin.version}${url}`;
}

/** Whether the answer itself names versions. */
export function rewritesBody(request: EngineRequest): boolean {
  return request.method === 'GET' && request.path === '/version';
}

/** Answer headers, in pairs, without those that such an engine does not send. */
export function pinHeaders(rawHeaders: readonly string[]): string[] {
  return withoutHeaders(rawHeaders, /^(api-version|docker-experimental|ostype)$/i);
}

/** The answer to `GET /version` and its headers, in pairs, as that engine would send them. */
export function pinVersionAnswer(
  pin: ApiPin,
  rawHeaders: readonly string[],
  body: Buffer,
): { headers: string[]; body: string } {
  const version = JSON.parse(body.toString()) as Record<string, unknown>;
  delete version['MinAPIVersion'];
  delete version['Components'];
  return {
    headers: withoutHeaders(pinHeaders(rawHeaders), /^content-length$/i),
    body: JSON.stringify({ ...version, ApiVersion: pin.version }),
  };
}

/** @param rawHeaders names and values in turn @param unwanted matches names */
export function withoutHeaders(rawHeaders: readonly string[], unwanted: RegExp): string[] {
  const kept: string[] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name = '', value = ''] = rawHeaders.slice(i, i + 2);
    if (!unwanted.test(name)) kept.push(name, value);
  }
  return kept;
}

function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split('.').map(Number);
  const [majorB = 0, minorB = 0] = b.split('.').map(Number);
  return majorA - majorB || minorA - minorB;
}
