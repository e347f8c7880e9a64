import { isIPv4 } from 'node:net';
import type { ProfileName } from '../support/configuration.ts';
import { ConfigurationError } from '../support/errors.ts';

/** An address of the server as a person or the server itself gave it. */
export interface ServerUrl {
  /** The whole URL. May hold a registration token: show it to people only through `describeUrl`. */
  readonly href: string;
  /** The registration token of `…/scripts/TOKEN`, if there is one. */
  readonly token: string | undefined;
}

/** As PastureStack's own client (control-plane §8); in characters. */
const longestUrl = 16_384;

/** Ids below `/scripts/` that every server knows and that are no secrets (control-plane §3). */
const publicScripts = new Set(['bootstrap', 'transform', 'api.crt', 'ca.crt', 'ca.pem']);

/**
 * Checks an address of the server that came from outside (control-plane §2.1, contract §5).
 *
 * @param text any form of control-plane §2.1: the registration URL, a base URL, or the URL of an environment's API
 * @param profile `rancher-1.0` accepts localhost, because its images replace it (`replaceLoopback`); `pasturestack` has
 *   no use for a fragment (control-plane §8)
 * @param what the subject of error messages
 * @throws ConfigurationError when it is no http(s) URL, carries user name or password, or means this machine
 */
export function parseServerUrl(text: string, profile: ProfileName, what = 'the server URL'): ServerUrl {
  const url = parseHttpUrl(text, what);
  if (url.username !== '' || url.password !== '') {
    throw new ConfigurationError(`${what} must not contain a user name or password`, {
      hint: 'remove the part before the @; keys belong in CATTLE_ACCESS_KEY and CATTLE_SECRET_KEY',
    });
  }
  if (profile !== 'rancher-1.0' && isLoopback(url.hostname)) {
    throw new ConfigurationError(`${what} must not point to this host itself: ${describeUrl(url)}`, {
      hint: 'localhost means the agent container here: use an address of the server that this host can reach',
    });
  }
  if (profile === 'pasturestack' && url.hash !== '') {
    throw new ConfigurationError(`${what} must not have a fragment (#…)`, {
      hint: 'copy the URL from "Add Host" again',
    });
  }
  url.hash = '';
  return { href: url.href, token: readToken(url) };
}

/**
 * The URL as it may stand in logs and errors: no query, no credentials, and never what follows `/scripts`, unless it
 * is one of the scripts everybody may fetch.
 */
export function describeUrl(url: string | URL): string {
  const parsed = URL.parse(url.toString());
  if (parsed === null) return 'an unreadable URL';
  const path = parsed.pathname.replace(
    /(\/scripts)(\/+)([^/]*).*$/s,
    (_match, scripts: string, _slash, id: string) => {
      if (id === '') return scripts;
      return publicScripts.has(id) ? `${scripts}/${id}` : `${scripts}/***`;
    },
  );
  return `${parsed.protocol}//${parsed.host}${path === '/' ? '' : path}`;
}

/**
 * The API's base of a URL: everything up to and including the version, without environment, `/schemas` or `/scripts`
 * (`http://h/v1/projects/1a5/scripts/T` → `http://h/v1`). Without a version in the path it is the URL up to `/scripts`.
 */
export function apiBaseOf(url: string): string {
  const parsed = new URL(url);
  const version = /^(.*?\/(?:v1|v2-beta))(?:\/|$)/.exec(parsed.pathname);
  const path = version?.[1] ?? parsed.pathname.replace(/\/scripts(\/.*)?$/s, '');
  return `${parsed.origin}${path.replace(/\/+$/, '')}`;
}

/** Whether two URLs lead to the same server: scheme, host and port. */
export function isSameOrigin(a: string | URL, b: string | URL): boolean {
  const [first, second] = [URL.parse(a.toString()), URL.parse(b.toString())];
  return first !== null && second !== null && first.origin === second.origin;
}

/**
 * The same path and query at the origin of another URL. The server computes its links from headers that proxies set or
 * forget (control-plane §1.5). The origin that was reached once is reached again this way, and the keys stay there.
 */
export function moveToOrigin(link: string, origin: string | URL): string {
  const from = new URL(link, origin);
  return `${new URL(origin).origin}${from.pathname}${from.search}`;
}

/**
 * The URL with an address of this very machine replaced by one that containers reach it by: agents v1.0.x do so instead
 * of refusing it (contract §5). A URL that leads elsewhere, or is none, stays as it is.
 * @param address undefined when this host has none
 * @throws ConfigurationError when one is needed and there is none
 */
export function replaceLoopback(text: string, address: string | undefined): string {
  const url = URL.parse(text);
  if (url === null || !isLoopback(url.hostname)) return text;
  if (address === undefined) {
    throw new ConfigurationError(
      `${describeUrl(url)} means this host itself, which has no address to the outside`,
      {
        hint: 'give the URL with an address of this host that its containers can reach, e.g. that of docker0',
      },
    );
  }
  url.hostname = address;
  return url.href;
}

/** Appends path segments to a base URL that may or may not end in a slash. */
export function joinUrl(base: string, path: string): string {
  return `${base.replace(/\/+$/, '')}/${path}`;
}

/** One segment of a path or query, whatever the server calls its things: half a character has no encoding. */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

/** The registration token in the path of a URL, decoded, or undefined. */
function readToken(url: URL): string | undefined {
  const id = /\/scripts\/+([^/]+)/.exec(url.pathname)?.[1];
  if (id === undefined || publicScripts.has(id)) return undefined;
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

function parseHttpUrl(text: string, what: string): URL {
  const url = /^https?:\/\//i.test(text) && text.length <= longestUrl ? URL.parse(text) : null;
  if (url !== null && !/[\s\\]/.test(text)) return url;
  // The text itself may hold a token in a form that cannot be recognised, so it is not repeated.
  throw new ConfigurationError(`${what} is not a valid http:// or https:// URL`, {
    hint: 'copy the URL from "Add Host": https://SERVER/v1/scripts/TOKEN',
  });
}

/** `localhost`, 127/8 in every spelling (the URL parser normalises `127.1` and `0x7f.1`), `[::1]`, 0.0.0.0. */
function isLoopback(hostname: string): boolean {
  const host = hostname.toLowerCase().replace(/\.$/, '');
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '0.0.0.0' ||
    host === '[::1]' ||
    host === '[::]' ||
    host.startsWith('[::ffff:7f') ||
    (isIPv4(host) && host.startsWith('127.'))
  );
}
