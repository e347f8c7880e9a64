/**
 * Makes a new engine look like one that speaks nothing newer than a given API version. Measured on 1.10.3 (API 1.22):
 * no `Api-Version` header, `HEAD /_ping` is 404, a newer prefix is a 400, a list filtered by `removing` is a 500,
 * errors are plain text, lists say nothing of `State` and `Mounts`, and a dead container is listed but not to be
 * inspected.
 */
export interface ApiPin {
  /** e.g. `1.22` */
  version: string;
  /** The oldest version that the engine itself accepts. Requests of an older version are passed on with this one. */
  floor: string;
}

interface EngineRequest {
  method: string;
  /** Without the version prefix. */
  path: string;
  query: Record<string, string>;
  apiVersion?: string;
}

interface PinnedAnswer {
  status: number;
  contentType?: string;
  body?: unknown;
}

/** The answer with which such an engine refuses the request; undefined if it would do it. */
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
  if (isList(request) && request.query['filters']?.includes('"removing"') === true)
    return { status: 500, contentType: 'text/plain', body: 'Unrecognised filter value for status\n' };
  return undefined;
}

/** The path as that engine would understand it. Without a prefix, the request has the version of the engine. */
export function pinPath(pin: ApiPin, url: string): string {
  const [, version = pin.version, path = url] = /^\/v(\d+\.\d+)(\/.*)$/.exec(url) ?? [];
  return `/v${compareVersions(version, pin.floor) < 0 ? pin.floor : version}${path}`;
}

/** Whether such an engine would give another answer. */
export function rewritesBody(request: EngineRequest, status: number): boolean {
  if (status >= 400) return true;
  return (
    request.method === 'GET' && (request.path === '/version' || isList(request) || isInspection(request))
  );
}

function isList({ path }: EngineRequest): boolean {
  return path === '/containers/json';
}

function isInspection({ path }: EngineRequest): boolean {
  return /^\/containers\/[^/]+\/json$/.test(path);
}

/** Answer headers, in pairs, without those that such an engine does not send. */
export function pinHeaders(rawHeaders: readonly string[]): string[] {
  return withoutHeaders(rawHeaders, /^(api-version|docker-experimental|ostype)$/i);
}

interface EngineAnswer {
  status: number;
  /** In pairs. */
  headers: readonly string[];
  body: Buffer;
}

/** An answer as that engine would give it. */
export function pinAnswer(
  pin: ApiPin,
  request: EngineRequest,
  { status, headers, body }: EngineAnswer,
): { status: number; headers: string[]; body: string } {
  const kept = withoutHeaders(pinHeaders(headers), /^content-length$/i);
  if (status >= 400) return plainText(status, kept, wordsOf(body.toString()));
  const answer: unknown = JSON.parse(body.toString());
  if (isInspection(request) && isDead(answer))
    return plainText(404, kept, `no such id: ${request.path.split('/')[2] ?? ''}`);
  const pinned =
    request.path === '/version' ? pinVersion(pin, answer) : isList(request) ? pinList(answer) : answer;
  return { status, headers: kept, body: JSON.stringify(pinned) };
}

function plainText(
  status: number,
  headers: readonly string[],
  words: string,
): { status: number; headers: string[]; body: string } {
  const kept = withoutHeaders(headers, /^content-type$/i);
  return { status, headers: [...kept, 'Content-Type', 'text/plain; charset=utf-8'], body: `${words}\n` };
}

function wordsOf(body: string): string {
  try {
    return (JSON.parse(body) as { message: string }).message;
  } catch {
    return body.trim();
  }
}

function isDead(inspection: unknown): boolean {
  const { State } = inspection as { State: { Dead: boolean; Status: string } };
  return State.Dead || State.Status === 'removing';
}

function pinVersion(pin: ApiPin, answer: unknown): object {
  return { ...without(answer, 'MinAPIVersion', 'Components'), ApiVersion: pin.version };
}

/** After a failed removal, a new engine still lists the container as being removed; the old one lists it as `Dead`. */
function pinList(answer: unknown): object[] {
  return (answer as { Status: string }[]).map((entry) => ({
    ...without(entry, 'State', 'Mounts'),
    Status: entry.Status === 'Removal In Progress' ? 'Dead' : entry.Status,
  }));
}

function without(answer: unknown, ...unwanted: readonly string[]): object {
  return Object.fromEntries(Object.entries(answer as object).filter(([name]) => !unwanted.includes(name)));
}

/** @param rawHeaders names and values alternately @param unwanted matches names */
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
