import { printable } from './printable.ts';

/**
 * Values that must not leave the process in clear. Whoever reads a secret adds it here; everything that is written for
 * people or programs passes through `scrub`, so that a secret inside somebody else's error message is masked as well.
 */

const mask = '***';

/** Shorter values would mask ordinary words. */
const shortestSecret = 6;

/** Of names in lower case: the first pattern of a process that ignores case costs it 4 ms of CPU. */
const keyPattern = /(secret|token|password|passwd|access_?key|authorization|registry-?auth)/;

export interface Secrets {
  /** Remembers a value; empty and very short ones are ignored. Also masks its URL-encoded and base64 forms. */
  add(...values: (string | undefined)[]): void;
  /** The text with every known secret, credentials in URLs and registration tokens masked. */
  scrub(text: string): string;
}

/** A fresh set of secrets; the program has one, tests make their own. */
export function createSecrets(): Secrets {
  const known = new Set<string>();
  return {
    add(...values) {
      for (const value of values) {
        if (value === undefined || value.length < shortestSecret) continue;
        known.add(value);
        known.add(encodeURIComponent(value.toWellFormed()));
        known.add(Buffer.from(value).toString('base64'));
      }
    },
    scrub(text) {
      // Known values first: a pattern that cuts one in two would leave its other half.
      let clean = text;
      for (const value of [...known].sort((a, b) => b.length - a.length)) {
        clean = clean.replaceAll(value, mask);
      }
      return maskPatterns(clean);
    },
  };
}

/**
 * The second argument of `JSON.stringify` or `JSON.parse`: masks each text and makes it printable. Not the JSON as a whole: a
 * secret with a quote in it would not be found there, and a mask would swallow the backslash of a quote.
 */
export function safeValue(secrets: Pick<Secrets, 'scrub'>): (key: string, value: unknown) => unknown {
  return (_key, value) => (typeof value === 'string' ? printable(secrets.scrub(value)) : value);
}

/** The same for every text of a report, before it is cut into lines: a line end may cut a secret in two. */
export function safeReport<T>(report: T, secrets: Pick<Secrets, 'scrub'>): T {
  return JSON.parse(JSON.stringify(report), safeValue(secrets)) as T;
}

/** Whether a key (of an environment variable, header or JSON member) names a secret. */
export function isSecretKey(key: string): boolean {
  return keyPattern.test(key.toLowerCase());
}

/** Adds to `secrets` every value of an environment whose name names a secret, and the password of every URL in it. */
export function addEnvironmentSecrets(
  secrets: Secrets,
  environment: Readonly<Record<string, string | undefined>>,
): void {
  for (const [name, value] of Object.entries(environment)) {
    if (isSecretKey(name)) secrets.add(value);
    secrets.add(...passwordsIn(value ?? ''));
  }
}

/** The password of a URL, as it stands there and decoded. `user:password@host` is one as well: curl and requests take it. */
function passwordsIn(value: string): readonly string[] {
  if (!value.includes('@')) return [];
  const url = URL.parse(value.includes('://') ? value : `http://${value}`);
  if (url === null || url.password === '') return [];
  const typed = /^[^@]*?:\/\/[^:]*:(.*)@/s.exec(value)?.[1];
  return [url.password, decodeSafely(url.password), ...(typed === undefined ? [] : [typed])];
}

function decodeSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function maskPatterns(text: string): string {
  return (
    text
      .replace(
        /(\/scripts\/)(?!bootstrap\b|ca\.crt\b|ca\.pem\b|api\.crt\b|TOKEN\b)[^\s"'/?#;,)]+/g,
        `$1${mask}`,
      )
      // Without the scheme: a pattern for it begins again at each letter, and takes quadratic time for a long word.
      .replace(/:\/\/[^\s/@"']+@/g, `://${mask}@`)
      .replace(/\b(Basic|Bearer)\s+[A-Za-z0-9+/=_.-]+/g, `$1 ${mask}`)
      .replace(/\b(CATTLE_[A-Z_]*(?:SECRET|ACCESS)_KEY|TOKEN)(=["']?)[^\s"']+/g, `$1$2${mask}`)
      .replace(/([?&]key=)[^&\s"']+/g, `$1${mask}`)
  );
}
