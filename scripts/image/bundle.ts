/**
 * Bundles the entrypoint into one file, for the launcher (image/run.sh) and its loader (image/main.ts).
 *
 * usage: tsx scripts/image/bundle.ts [--entry src/main.ts] [--out dist] [--arch x64] [--no-cache] [--metafile FILE]
 *   --arch      for Node on that processor; the code cache is made only where that is this one's
 *   --no-cache  no code cache: for whoever only wants to know what goes in
 *   --metafile  gets what went in, as esbuild says it
 *
 * writes OUT/main.cjs          the loader, which Node is started with
 *        OUT/entrypoint.js     the bundle
 *        OUT/entrypoint.js.LEGAL.txt   the licences of what went in
 *        OUT/entrypoint.js.ARCH.cache  the bundle as the Node that runs this compiles it (code-cache.ts, number-functions.ts)
 */
import { build, type BuildOptions, type OnResolveArgs, type Plugin } from 'esbuild';
import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';

/**
 * What the packages load eagerly and this program never uses, by who asks for it: each would cost every start, or every
 * agent's memory, something. `*` is any package.
 */
const NEVER_USED: Readonly<Record<string, readonly string[]>> = {
  // ssh:// hosts and BuildKit sessions: 130 ms of CPU. supports-color is nobody's dependency; it is only there if a tool of
  // development brought it.
  '*': ['ssh2', 'cpu-features', '@grpc/grpc-js', '@grpc/proto-loader', 'protobufjs', 'supports-color'],
  // an engine on another machine
  'docker-modem': ['https'],
  // writing the log in a thread of its own
  pino: ['thread-stream'],
  // HTTP/2: the client says allowH2: false
  undici: ['node:http2'],
};

/** What stands for a package in the bundle. A getter has it loaded when it is first used. */
const PARTS: Readonly<Record<string, string>> = {
  // Its modem is all that engine/transport.ts needs.
  dockerode: `
    const Modem = require('docker-modem');
    module.exports = class { constructor(options) { this.modem = new Modem(options); } };`,
  // Node has its own.
  'readable-stream': `module.exports = require('node:stream');`,
  // The modem's log for its developers: `DEBUG=*` would have a registry's password in it. It opens stderr to see whether that
  // is a terminal, whether anybody reads it or not.
  debug: `module.exports = () => () => {};`,
  // Most commands that end well log nothing.
  pino: `module.exports = { get pino() { return require('pino/pino.js').pino; } };`,
  // Without `fetch`, WebSockets, mocks and caches. An ES module, so that a name that src/control-plane/http imports and that is
  // missing here fails the build. Their parser is WebAssembly: to optimize it, which a few answers an hour aren't worth, V8 takes
  // 10 MB of memory that an agent never gives back.
  undici: `
    import { setFlagsFromString } from 'node:v8';
    import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
    import api from 'undici/lib/api/index.js';
    for (const flag of ['--no-wasm-tier-up', '--no-wasm-dynamic-tiering']) setFlagsFromString(flag);
    Object.assign(Dispatcher.prototype, api);
    export { default as Agent } from 'undici/lib/dispatcher/agent.js';
    export { default as Client } from 'undici/lib/dispatcher/client.js';
    export { default as ProxyAgent } from 'undici/lib/dispatcher/proxy-agent.js';
    export { default as Socks5ProxyAgent } from 'undici/lib/dispatcher/socks5-proxy-agent.js';`,
};

/**
 * Room for the code cache to be made without a garbage collection, and a known seed: what is left in memory by chance, and
 * the order of names in a hash table, would stand in it. Sizes don't count where V8 compares flags; the seed is put back.
 */
const ALIKE = [
  '--max-old-space-size=4096',
  '--min-semi-space-size=64',
  '--max-semi-space-size=64',
  '--hash-seed=1',
];

const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
const forNode: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  mainFields: ['module', 'main'],
  define: { __VERSION__: JSON.stringify(version) },
  logLevel: 'warning',
};

const { values } = parseArgs({
  options: {
    entry: { type: 'string', default: 'src/main.ts' },
    out: { type: 'string', default: 'dist' },
    arch: { type: 'string', default: process.arch },
    'no-cache': { type: 'boolean', default: false },
    metafile: { type: 'string' },
  },
});

const bundle = join(values.out, 'entrypoint.js');
await bundleEntrypoint(values.entry, bundle);
await build({ ...forNode, entryPoints: ['image/main.ts'], outfile: join(values.out, 'main.cjs') });
await tellSize(bundle);
if (values.arch === process.arch && !values['no-cache']) {
  const cache = `${bundle}.${process.arch}.cache`;
  for (const step of ['code-cache', 'number-functions'])
    await promisify(execFile)(process.execPath, [...ALIKE, `scripts/image/${step}.ts`, bundle, cache]);
  await tellSize(cache);
}

/** Writes `out`, a function for the loader, and beside it the licences of what went in. */
async function bundleEntrypoint(entry: string, out: string): Promise<void> {
  const { metafile } = await build({
    ...forNode,
    metafile: true,
    entryPoints: [entry],
    outfile: out,
    // Names stay: they stand in stack traces.
    minifySyntax: true,
    minifyWhitespace: true,
    // Node shows the line of an error that nobody caught.
    lineLimit: 120,
    legalComments: 'external',
    banner: { js: '(function (require, module, exports) {' },
    footer: { js: '})' },
    plugins: [leaveOut(NEVER_USED, PARTS)],
  });
  if (values.metafile !== undefined) await writeFile(values.metafile, JSON.stringify(metafile));
  // The loader reads it byte by byte.
  if (/[^\0-\x7F]/.test(await readFile(out, 'utf8'))) throw new Error(`${out} is not plain ASCII`);
}

async function tellSize(file: string): Promise<void> {
  console.log(`${file}: ${Math.round((await stat(file)).size / 1024)} KiB`);
}

/** Replaces what is `unused` by modules that can be loaded, but throw at their first use, and packages by `parts` of them. */
function leaveOut(
  unused: Readonly<Record<string, readonly string[]>>,
  parts: Readonly<Record<string, string>>,
): Plugin {
  const isUnused = ({ path, importer }: OnResolveArgs): boolean => {
    const asking = /.*\/node_modules\/([^/]+)\//.exec(importer)?.[1] ?? '';
    const names = [...(unused['*'] ?? []), ...(unused[asking] ?? [])];
    return names.some((name) => path === name || path.startsWith(`${name}/`));
  };
  return {
    name: 'leave-out',
    setup(esbuild) {
      esbuild.onResolve({ filter: /^[^.]/ }, (args) => {
        if (isUnused(args)) return { path: args.path, namespace: 'stub' };
        return args.path in parts ? { path: args.path, namespace: 'part' } : undefined;
      });
      esbuild.onLoad({ filter: /.*/, namespace: 'stub' }, ({ path }) => ({
        contents: stubSource(path),
        loader: 'js',
      }));
      esbuild.onLoad({ filter: /.*/, namespace: 'part' }, ({ path }) => ({
        contents: parts[path] ?? '',
        resolveDir: process.cwd(),
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
