import { labels } from '../identity/roles.ts';

/** An image as far as its version can be told from it. */
export interface VersionedImage {
  /** As somebody named it, e.g. `rancher/agent:v1.2.11`. */
  readonly reference: string;
  /** Of the image, or of a container, which has the labels of its image. */
  readonly labels: Readonly<Record<string, string>>;
}

export type Direction = 'up' | 'down';

/**
 * From one image to another, as a sentence for a person: servers that were rolled back send their agents down, and
 * nobody expects it. Where no two versions can be compared nothing is said about the direction.
 */
export function describeChange(from: VersionedImage, to: VersionedImage): string {
  const change = `from ${from.reference} to ${to.reference}`;
  const found = compareImages(from, to);
  return found === undefined ? change : `${found.direction} ${change} (${found.from} to ${found.to})`;
}

interface Comparison {
  readonly direction: Direction;
  readonly from: string;
  readonly to: string;
}

/** Compares like with like: what one image says of itself with what the other says in the same place. */
function compareImages(from: VersionedImage, to: VersionedImage): Comparison | undefined {
  for (const read of sources) {
    const before = read(from);
    const after = read(to);
    const order = before === undefined || after === undefined ? 0 : compareVersions(before, after);
    if (before === undefined || after === undefined || order === 0) continue;
    return { direction: order < 0 ? 'up' : 'down', from: before, to: after };
  }
  return undefined;
}

const sources: readonly ((image: VersionedImage) => string | undefined)[] = [
  (image) => image.labels[labels.version],
  (image) => image.labels['org.opencontainers.image.version'],
  (image) => /:v?(\d+(?:\.\d+)+[\w.-]*)$/.exec(image.reference)?.[1],
];

/** Negative: `a` is older. 0: equal, or one of them is no version. A pre-release (`1.2.0-rc1`) is older than its release. */
function compareVersions(a: string, b: string): number {
  const before = parseVersion(a);
  const after = parseVersion(b);
  if (before === undefined || after === undefined) return 0;
  for (let index = 0; index < Math.max(before.numbers.length, after.numbers.length); index += 1) {
    const difference = (before.numbers[index] ?? 0) - (after.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (before.rest === after.rest) return 0;
  if (before.rest === '' || after.rest === '') return before.rest === '' ? 1 : -1;
  return before.rest.localeCompare(after.rest, 'en', { numeric: true });
}

function parseVersion(
  text: string,
): { readonly numbers: readonly number[]; readonly rest: string } | undefined {
  const match = /^v?(\d+(?:\.\d+)*)(?:-([\w.-]+))?(?:\+.*)?$/.exec(text);
  if (match?.[1] === undefined) return undefined;
  return { numbers: match[1].split('.').map(Number), rest: match[2] ?? '' };
}
