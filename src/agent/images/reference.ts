/** The name of an image, taken apart as an engine does it. */
export interface ImageReference {
  /** The registry and the components of the path, e.g. `docker.io`, `rancher`, `agent`. */
  readonly path: readonly string[];
  readonly tag?: string;
  /** `sha256:…` of the manifest. */
  readonly digest?: string;
}

/** Characters; an engine takes no longer name (distribution's reference grammar). */
const longestName = 255;

const component = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/;
const registry =
  /^(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])(?:\.(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9]))*(?::[0-9]{1,5})?$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;

/** Whether the text is a digest of a manifest, or the id of an image. */
export function isDigest(text: string): boolean {
  return digestPattern.test(text);
}

/**
 * Takes a name apart: `agent` is `docker.io/library/agent`, and `rancher/agent:v1` is `docker.io/rancher/agent` with a tag.
 * @returns undefined if an engine would not take it, or could take it for the id of an image
 */
export function parseImageReference(text: string): ImageReference | undefined {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) return undefined;
  const named = at < 0 ? text : text.slice(0, at);
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (tag !== undefined && !tagPattern.test(tag)) return undefined;
  const name = colon < 0 ? named : named.slice(0, colon);
  if (mayBeId(text)) return undefined;
  const path = parseImagePath(name);
  if (path === undefined) return undefined;
  return { path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** An engine that knows no such name takes hexadecimal digits for the beginning of an id. */
function mayBeId(text: string): boolean {
  return /^[0-9a-f]+$/.test(text) || text.startsWith('sha256:');
}

/** The registry and the components of a name without tag and digest; undefined if an engine would not take it. */
export function parseImagePath(name: string): readonly string[] | undefined {
  if (name.length > longestName) return undefined;
  const parts = name.split('/');
  const [first = '', ...rest] = parts;
  const isHost = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  if (isHost && !registry.test(first)) return undefined;
  const path = isHost ? rest : parts;
  if (!path.every((each) => component.test(each))) return undefined;
  const host = isHost && first !== 'index.docker.io' ? first : 'docker.io';
  const isShort = host === 'docker.io' && path.length === 1;
  return [host, ...(isShort ? ['library'] : []), ...path];
}
