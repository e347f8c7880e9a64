/**
 * Bundles the entrypoint into one file, dist/main.mjs.
 *
 * usage: tsx scripts/bundle.ts [--entry src/main.ts] [--out dist/main.mjs] [--metafile FILE]
 *   --metafile  gets what went in, as esbuild says it
 */
import { build, type Plugin } from 'esbuild';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';

/**
 * What dockerode loads eagerly and this program never uses (ssh:// hosts, BuildKit sessions): left out, they would cost
 * every start 130 ms. supports-color is nobody's dependency; it is only there if a tool of development brought it.
 */
const NEVER_USED = [
  ...['ssh2', 'cpu-features', '@grpc/grpc-js', '@grpc/proto-loader', 'protobufjs', 'supports-color'],
];

/** Bundled CommonJS code calls `require` for Node's own modules, which an ES module does not have. */
const REQUIRE_FOR_COMMONJS = `import { createRequire as createRequireForBundle } from 'node:module';
const require = createRequireForBundle(import.meta.url);`;

const { values } = parseArgs({
  options: {
    entry: { type: 'string', default: 'src/main.ts' },
    out: { type: 'string', default: 'dist/main.mjs' },
    metafile: { type: 'string' },
  },
});

await bundle(values.entry, values.out);
const { size } = await stat(values.out);
console.log(`${values.out}: ${Math.round(size / 1024)} KiB`);

/** Writes `out`, and beside it the licences of what went in. */
async function bundle(entry: string, out: string): Promise<void> {
  const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
  const { metafile } = await build({
    entryPoints: [entry],
    outfile: out,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    minifySyntax: true,
    legalComments: 'external',
    banner: { js: REQUIRE_FOR_COMMONJS },
    define: { __VERSION__: JSON.stringify(version) },
    plugins: [stubUnused(NEVER_USED)],
    logLevel: 'warning',
    metafile: true,
  });
  if (values.metafile !== undefined) await writeFile(values.metafile, JSON.stringify(metafile));
}

/** Replaces packages by modules that can be loaded, but throw at their first use. */
function stubUnused(packages: readonly string[]): Plugin {
  const filter = new RegExp(`^(${packages.join('|')})(/|$)`);
  return {
    name: 'stub-unused',
    setup(esbuild) {
      esbuild.onResolve({ filter }, ({ path }) => ({ path, namespace: 'stub' }));
      esbuild.onLoad({ filter: /.*/, namespace: 'stub' }, ({ path }) => ({
        contents: stubSource(path),
        loader: 'js',
      }));
    },
  };
}

/** Names may be picked from the stub while loading (`const { Client } = require('ssh2')`), but nothing can be called. */
function stubSource(name: string): string {
  return `function refuse() { throw new Error(${JSON.stringify(`${name} is not part of this program`)}); }
    const stub = new Proxy(function () {}, {
      get: (target, key) => typeof key === 'symbol' || key === '__esModule' || key === 'prototype' ? target[key] : stub,
      apply: refuse,
      construct: refuse,
    });
    module.exports = stub;`;
}
