import type { ImageDetails } from '../../engine/engine.ts';
import { isDigest, parseImagePath, parseImageReference, type ImageReference } from './reference.ts';

/** Which images a host takes its agent from. */
export type ImagePolicy =
  /** Every image: `AGENT_IMAGES_ALLOWED` is not set. */
  | { readonly kind: 'off' }
  | { readonly kind: 'rules'; readonly text: string; readonly rules: readonly ImageRule[] }
  /** No image at all: the value is not understood. */
  | { readonly kind: 'malformed'; readonly problem: string };

export type ImageRule =
  | { readonly kind: 'digest'; readonly digest: string }
  | {
      readonly kind: 'path';
      /** The registry, then components of the path. */
      readonly path: readonly string[];
      /** The rule ended with a slash: what is below, and not an image of exactly that path. */
      readonly belowOnly: boolean;
      /** Exactly this image of exactly that path. */
      readonly tag?: string;
    };

/** What a name alone says: a digest rule may allow an image whose name says nothing. */
export type NameVerdict = 'allowed' | 'refused' | 'depends on the digest';

/**
 * Reads a value of `AGENT_IMAGES_ALLOWED`: digests, and prefixes of names, with commas between them. One entry that is not
 * understood makes the whole value malformed, because nobody knows what was meant.
 */
export function parseImagesAllowed(value: string | undefined): ImagePolicy {
  if (value === undefined) return { kind: 'off' };
  const entries = value.split(',').map((entry) => entry.trim());
  const rules: ImageRule[] = [];
  for (const entry of entries) {
    const rule = parseRule(entry);
    if ('problem' in rule) return { kind: 'malformed', problem: rule.problem };
    rules.push(rule);
  }
  return { kind: 'rules', text: entries.join(', '), rules };
}

function parseRule(entry: string): ImageRule | { readonly problem: string } {
  if (isDigest(entry)) return { kind: 'digest', digest: entry };
  if (entry === '') return { problem: 'an entry is empty' };
  const problem = `"${entry.slice(0, longestQuoted)}" is not understood: ${explain(entry)}`;
  if (!entry.includes('/') || entry.includes('@')) return { problem };
  if (entry.endsWith('/')) {
    // Whatever is below: a name that stands for all of them shows how an engine reads the prefix.
    const path = parseImagePath(`${entry}x`)?.slice(0, -1);
    return path === undefined ? { problem } : { kind: 'path', path, belowOnly: true };
  }
  const reference = parseImageReference(entry);
  if (reference === undefined) return { problem };
  const { path, tag } = reference;
  return { kind: 'path', path, belowOnly: false, ...(tag === undefined ? {} : { tag }) };
}

/** Characters of an entry in a message. */
const longestQuoted = 100;

function explain(entry: string): string {
  if (entry.includes('@')) return 'write the digest alone, sha256:… with 64 hexadecimal digits';
  if (entry.startsWith('sha256:')) return 'a digest is sha256: and 64 hexadecimal digits';
  if (!entry.includes('/'))
    return 'write REGISTRY/ for a registry, or docker.io/library/NAME for an image of that name';
  return 'write REGISTRY/PATH/, REGISTRY/PATH or REGISTRY/PATH:TAG, in lower case and with commas between the entries';
}

/** What can be said before the image is on this host. Pure. */
export function judgeName(policy: ImagePolicy, targetImage: string): NameVerdict {
  if (policy.kind === 'off') return 'allowed';
  if (policy.kind === 'malformed') return 'refused';
  if (isDigest(targetImage)) return hasDigest(policy.rules, [targetImage]) ? 'allowed' : 'refused';
  const reference = parseImageReference(targetImage);
  const matches = (rule: ImageRule): boolean => reference !== undefined && matchesName(rule, reference);
  if (policy.rules.some(matches)) return 'allowed';
  return policy.rules.some(({ kind }) => kind === 'digest') ? 'depends on the digest' : 'refused';
}

/** Whether the image, which is on this host, is allowed: by its name, its id, or a digest that it was pulled by. Pure. */
export function isImageAllowed(
  policy: ImagePolicy,
  targetImage: string,
  image: Pick<ImageDetails, 'id' | 'repoDigests'>,
): boolean {
  const verdict = judgeName(policy, targetImage);
  if (verdict !== 'depends on the digest' || policy.kind !== 'rules') return verdict === 'allowed';
  const digests = image.repoDigests.map((name) => name.slice(name.lastIndexOf('@') + 1));
  return hasDigest(policy.rules, [image.id, ...digests]);
}

function hasDigest(rules: readonly ImageRule[], digests: readonly string[]): boolean {
  return rules.some((rule) => rule.kind === 'digest' && digests.includes(rule.digest));
}

function matchesName(rule: ImageRule, { path, tag, digest }: ImageReference): boolean {
  // An engine goes by the digest of a name and not by its tag.
  if (rule.kind === 'digest') return rule.digest === digest;
  const isBelow = rule.path.every((each, index) => each === path[index]);
  if (!isBelow || (rule.belowOnly && path.length === rule.path.length)) return false;
  if (rule.tag === undefined) return true;
  return digest === undefined && path.length === rule.path.length && rule.tag === (tag ?? 'latest');
}
