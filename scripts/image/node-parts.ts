/**
 * What is inside Node: image/node-parts.json has it for each Node that package-lock.json pins, as that Node itself says it
 * (`process.versions`). It stands in a file because a machine of one architecture lists the contents of images for the
 * other one, and so that a new Node shows what else is new.
 *
 * usage: node scripts/image/node-parts.ts     writes the parts of the Node that runs this, and drops those of Nodes that
 *                                             package-lock.json pins no more
 */
import { readFileSync, writeFileSync } from 'node:fs';

export type PartVersions = Readonly<Record<string, string>>;

/** Where a part comes from. */
export interface PartOrigin {
  /** Package URL without a version. A repository's version is a tag: `tag` makes it out of the version. */
  readonly purl: string;
  readonly tag?: (version: string) => string;
  /** Vendor and product, as the National Vulnerability Database has them; undefined where it has none. */
  readonly cpe?: readonly [string, string];
}

const FILE = 'image/node-parts.json';
/** In `process.versions`, but no software of others: Node itself, interfaces and tables of data. */
const NO_SOFTWARE = ['node', 'modules', 'napi', 'unicode', 'tz', 'cldr'];

const asTag =
  (prefix: string) =>
  (version: string): string =>
    `${prefix}${version}`;
export const partOrigins: Readonly<Record<string, PartOrigin>> = {
  acorn: { purl: 'pkg:npm/acorn' },
  ada: { purl: 'pkg:github/ada-url/ada', tag: asTag('v'), cpe: ['ada-url', 'ada'] },
  amaro: { purl: 'pkg:npm/amaro' },
  ares: { purl: 'pkg:github/c-ares/c-ares', tag: asTag('v'), cpe: ['c-ares', 'c-ares'] },
  brotli: { purl: 'pkg:github/google/brotli', tag: asTag('v'), cpe: ['google', 'brotli'] },
  cjs_module_lexer: { purl: 'pkg:npm/cjs-module-lexer' },
  icu: {
    purl: 'pkg:github/unicode-org/icu',
    tag: asTag('release-'),
    cpe: ['icu-project', 'international_components_for_unicode'],
  },
  llhttp: { purl: 'pkg:github/nodejs/llhttp', tag: asTag('v'), cpe: ['llhttp', 'llhttp'] },
  merve: { purl: 'pkg:github/nodejs/merve', tag: asTag('v') },
  nbytes: { purl: 'pkg:github/nodejs/nbytes', tag: asTag('v') },
  ncrypto: { purl: 'pkg:github/nodejs/ncrypto', tag: asTag('v') },
  nghttp2: { purl: 'pkg:github/nghttp2/nghttp2', tag: asTag('v'), cpe: ['nghttp2', 'nghttp2'] },
  nghttp3: { purl: 'pkg:github/ngtcp2/nghttp3', tag: asTag('v'), cpe: ['ngtcp2', 'nghttp3'] },
  ngtcp2: { purl: 'pkg:github/ngtcp2/ngtcp2', tag: asTag('v'), cpe: ['ngtcp2', 'ngtcp2'] },
  openssl: { purl: 'pkg:github/openssl/openssl', tag: asTag('openssl-'), cpe: ['openssl', 'openssl'] },
  simdjson: { purl: 'pkg:github/simdjson/simdjson', tag: asTag('v') },
  simdutf: { purl: 'pkg:github/simdutf/simdutf', tag: asTag('v') },
  sqlite: { purl: 'pkg:github/sqlite/sqlite', tag: asTag('version-'), cpe: ['sqlite', 'sqlite'] },
  undici: { purl: 'pkg:npm/undici', cpe: ['nodejs', 'undici'] },
  uv: { purl: 'pkg:github/libuv/libuv', tag: asTag('v'), cpe: ['libuv', 'libuv'] },
  uvwasi: { purl: 'pkg:github/nodejs/uvwasi', tag: asTag('v') },
  v8: { purl: 'pkg:github/v8/v8', tag: (version) => plainVersion('v8', version), cpe: ['google', 'v8'] },
  zlib: {
    purl: 'pkg:github/madler/zlib',
    tag: (version) => `v${plainVersion('zlib', version)}`,
    cpe: ['zlib', 'zlib'],
  },
  zstd: { purl: 'pkg:github/facebook/zstd', tag: asTag('v'), cpe: ['facebook', 'zstandard'] },
};

/**
 * The number that a part's own project gives its version. Node has Chromium's zlib, and Google's V8 with changes of its own:
 * what stands behind their number is no version of theirs.
 */
export function plainVersion(name: string, version: string): string {
  const numbers = { v8: /^\d+(\.\d+)*/, zlib: /^\d+\.\d+\.\d+/ }[name];
  return numbers?.exec(version)?.[0] ?? version;
}

/**
 * The parts of a Node, by name; those that are not built in are left out.
 *
 * @throws if the file does not know this Node, if it is not what the running Node says, or if a part has no origin here
 */
export function partsOfNode(version: string): PartVersions {
  const all = JSON.parse(readFileSync(FILE, 'utf8')) as Readonly<Record<string, PartVersions>>;
  const parts = all[version];
  const advice = `run scripts/image/node-parts.ts with Node ${version}`;
  if (parts === undefined) throw new Error(`${FILE} does not know Node ${version}: ${advice}`);
  if (process.versions.node === version && JSON.stringify(parts) !== JSON.stringify(partsOfThisNode()))
    throw new Error(`${FILE} has other parts of Node ${version} than Node itself: ${advice}`);
  const unknown = Object.keys(parts).filter((name) => !Object.hasOwn(partOrigins, name));
  if (unknown.length > 0)
    throw new Error(
      `Node ${version} has parts that scripts/image/node-parts.ts does not know: ${unknown.join(', ')}`,
    );
  return parts;
}

function partsOfThisNode(): PartVersions {
  const found = Object.entries(process.versions).filter(
    (part): part is [string, string] => !NO_SOFTWARE.includes(part[0]) && (part[1] ?? '') !== '',
  );
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function pinnedNodes(): readonly string[] {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as {
    packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  return ['x64', 'arm64'].map((arch) => packages[`node_modules/node-linux-${arch}`]?.version ?? '');
}

if (import.meta.main) {
  const before = JSON.parse(readFileSync(FILE, 'utf8')) as Readonly<Record<string, PartVersions>>;
  const known = { ...before, [process.versions.node]: partsOfThisNode() };
  const kept = Object.entries(known).filter(([version]) => pinnedNodes().includes(version));
  writeFileSync(FILE, `${JSON.stringify(Object.fromEntries(kept.sort()), undefined, 2)}\n`);
}
