import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isHtml, quote } from '../../../../control-plane/http/answer.ts';
import {
  chooseProxy,
  describeProxy,
  proxyVariableFor,
  silentProxyHint,
} from '../../../../control-plane/http/proxy.ts';
import type { ServerFaultKind } from '../../../../control-plane/http/server-fault.ts';
import { joinUrl } from '../../../../control-plane/url.ts';
import type { CommandResult, CommandRunner } from '../../../../host/processes.ts';
import { CommandError } from '../../../../host/processes.ts';
import type { Environment } from '../../../../support/configuration.ts';
import { DeadlineError } from '../../../../support/deadline.ts';
import type { Limits } from '../../../../support/limits/limits.ts';
import type { ReadinessFailure } from '../result.ts';
import { faultOf, hintOf } from '../../bootstrap/server-faults.ts';

export interface CurlRequest {
  readonly cattleUrl: string;
  /** Exactly what the script gets. */
  readonly environment: Environment;
  readonly limits: Limits;
  readonly run: CommandRunner;
  readonly signal: AbortSignal;
  /** Takes secrets out of what curl says. */
  readonly scrub: (text: string) => string;
}

/**
 * Asks for the bootstrap script by the image's own curl: the script and the agent connect as it does, not as our own client does. No keys are sent, the
 * URL goes in by stdin, and `~/.curlrc` counts as it does for the script. Only options that curl 7.35 (Ubuntu 14.04) knows.
 */
export async function checkCurl(request: CurlRequest): Promise<ReadinessFailure | undefined> {
  const { limits, environment, signal } = request;
  const proxy = proxyOfCurl(request);
  try {
    const result = await request.run('curl', ['--config', '-'], {
      deadlineMs: limits.READY_REQUEST + limits.READY_CURL_GRACE,
      environment,
      input: composeConfig(joinUrl(request.cattleUrl, 'scripts/bootstrap'), limits),
      signal,
    });
    return withProxy(judgeCurl(result, request.scrub), proxy);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DeadlineError)
      return withProxy(describe('no-answer', "the image's curl got no answer in time"), proxy);
    if (error instanceof CommandError) return cannotRun(quote(request.scrub(error.message)));
    throw error;
  }
}

/** The proxy that curl takes from its environment, where it says so in words that we understand. */
function proxyOfCurl({ cattleUrl, environment }: CurlRequest): URL | undefined {
  const url = URL.parse(cattleUrl);
  // curl does not read HTTP_PROXY: a CGI program would take it from a header.
  if (url === null || proxyVariableFor(url, environment) === 'HTTP_PROXY') return undefined;
  try {
    return chooseProxy(url, environment);
  } catch {
    return undefined;
  }
}

function withProxy(
  failure: ReadinessFailure | undefined,
  proxy: URL | undefined,
): ReadinessFailure | undefined {
  if (failure?.cause !== 'ready-curl-no-answer' || proxy === undefined) return failure;
  const name = describeProxy(proxy);
  const message = failure.message.includes(name)
    ? failure.message
    : `${failure.message}, by way of the proxy ${name}`;
  return { ...failure, message, hint: silentProxyHint(name) };
}

/** Printed by curl behind the answer: status, status of a proxy's CONNECT, seconds until the connection stood. */
const trailer = /\nreadiness-of-curl (\d+) (\d+) ([\d.,]+)\n?$/;

function composeConfig(url: string, limits: Limits): string {
  return [
    `url = ${quoteForCurl(url)}`,
    'silent',
    'show-error',
    `connect-timeout = ${toSeconds(limits.HTTP_CONNECT)}`,
    `max-time = ${toSeconds(limits.READY_REQUEST)}`,
    String.raw`write-out = "\nreadiness-of-curl %{http_code} %{http_connect} %{time_connect}\n"`,
    '',
  ].join('\n');
}

/** Old versions take whole seconds only. */
function toSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

function quoteForCurl(text: string): string {
  return `"${text.replaceAll('\\', String.raw`\\`).replaceAll('"', String.raw`\"`)}"`;
}

/** Pure: what curl's exit status and answer say. @returns undefined when it got the script */
export function judgeCurl(
  { status, stdout, stderr }: CommandResult,
  scrub: (text: string) => string = (text) => text,
): ReadinessFailure | undefined {
  const found = trailer.exec(stdout);
  const http = { status: Number(found?.[1] ?? 0), connect: Number(found?.[2] ?? 0) };
  if (status !== 0) {
    const connected = Number((found?.[3] ?? '0').replace(',', '.')) > 0;
    return explainExit(status, http.connect, connected, quote(scrub(stderr)));
  }
  if (found === null)
    return describe('page', "the image's curl gets an answer that is much longer than a script");
  return judgeAnswer(http.status, stdout.slice(0, found.index));
}

function judgeAnswer(status: number, text: string): ReadinessFailure | undefined {
  const answers = `the server answers the image's curl with status ${status}`;
  if (status === 407)
    return describe('proxy', "the proxy asks the image's curl for a user name and password");
  if (status === 429 || status === 408 || (status >= 500 && status !== 511)) return describe('busy', answers);
  if (status !== 200) return describe('refused', answers);
  if (text.trim() === '') return describe('page', "the server answers the image's curl with nothing");
  if (!isHtml({ text, headers: {} })) return undefined;
  return describe('page', "the server answers the image's curl with a web page instead of the script");
}

/** What curl's exit statuses mean (man curl, EXIT CODES), as far as a plain GET can end with them. */
const exits: Readonly<Record<number, readonly [ServerFaultKind, string]>> = {
  1: ['connection', "the image's curl does not know the protocol of the server's URL"],
  3: ['connection', "the image's curl cannot read the server's URL"],
  4: ['connection', "the image's curl was built without something that this request needs"],
  5: ['proxy', "the image's curl cannot resolve the name of the proxy"],
  6: ['dns', "the image's curl cannot resolve the name of the server"],
  7: ['connection', "the image's curl cannot connect to the server"],
  18: ['no-answer', "the answer to the image's curl was cut off"],
  35: ['tls', "the image's curl and the server cannot agree on a TLS connection"],
  47: ['refused', "the server redirects the image's curl in a circle"],
  51: ['tls', "the server's certificate is not for the name that the image's curl asked"],
  52: ['no-answer', "the server gives the image's curl no answer"],
  55: ['no-answer', "the connection of the image's curl broke while it was sending"],
  56: ['no-answer', "the connection of the image's curl broke while it was waiting for the answer"],
  58: ['tls', "the image's curl cannot use its client certificate"],
  59: ['tls', "the image's curl does not know the cipher that it is configured to use"],
  60: ['tls', "the image's curl does not trust the server's certificate"],
  77: ['tls', "the image's curl cannot read its certificates"],
  83: ['tls', "the issuer of the server's certificate is not the one that the image's curl expects"],
  90: ['tls', "the server's certificate is not the one that the image's curl expects"],
  91: ['tls', "the server's certificate has no valid status for the image's curl"],
  97: ['proxy', "the image's curl and the proxy do not understand each other"],
};

function explainExit(
  status: number,
  proxyStatus: number,
  connected: boolean,
  originalMessage: string,
): ReadinessFailure {
  const words = originalMessage === '' ? '' : ` (${originalMessage})`;
  if (proxyStatus >= 400) {
    return describe('proxy', `the proxy refuses the image's curl with status ${proxyStatus}${words}`);
  }
  if (status === 28) {
    return connected
      ? describe('no-answer', `the server does not answer the image's curl in time${words}`)
      : describe('connection', `the image's curl cannot connect to the server in time${words}`);
  }
  // 2: it could not start, e.g. without a library; 126 and more: it is no program, or a signal killed it.
  if (status === 2 || status >= 126) return cannotRun(`status ${status}${words}`);
  const [kind, sentence] = exits[status] ?? ['connection', `the image's curl exits with status ${status}`];
  return describe(viaProxy(kind, originalMessage), `${sentence}${words}`);
}

/** A connection that is refused may be the proxy's: curl says so in words only. */
function viaProxy(kind: ServerFaultKind, originalMessage: string): ServerFaultKind {
  return kind === 'connection' && /proxy/i.test(originalMessage) ? 'proxy' : kind;
}

function describe(kind: ServerFaultKind, message: string): ReadinessFailure {
  return {
    check: 'curl',
    fault: faultOf(kind),
    cause: `ready-curl-${kind}`,
    message,
    hint: hintOf(kind),
  };
}

function cannotRun(words: string): ReadinessFailure {
  return {
    check: 'curl',
    fault: 'image',
    cause: 'ready-curl-broken',
    message: `the image's curl cannot be run: ${words}`,
    hint: 'Build the image from a base whose curl works: docker run --rm --privileged --entrypoint curl IMAGE --version.',
  };
}

/**
 * The variables by which curl trusts the server as it will after promotion: the agent then writes them to `agent.conf`.
 * @param kept the file on the host, where there is one
 * @param folder for a certificate that only our own client has so far
 */
export async function withTrust<T>(
  environment: Environment,
  trust: { readonly ca: readonly string[]; readonly kept: string | undefined; readonly folder: string },
  use: (environment: Environment) => Promise<T>,
): Promise<T> {
  if (trust.ca.length === 0) return use(environment);
  const withBundle = (file: string): Environment => ({
    ...environment,
    CURL_CA_BUNDLE: file,
    REQUESTS_CA_BUNDLE: file,
  });
  if (trust.kept !== undefined) return use(withBundle(trust.kept));
  const folder = await mkdtemp(join(trust.folder, 'agent-bootstrap-'));
  try {
    const file = join(folder, 'ca.crt');
    await writeFile(file, trust.ca.join('\n'), { mode: 0o600 });
    return await use(withBundle(file));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
