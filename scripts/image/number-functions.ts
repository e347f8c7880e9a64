/**
 * Gives the functions in a code cache the numbers that belong to their places in it. V8 numbers functions as it compiles
 * them. In the rehearsal of scripts/image/code-cache.ts that order depends on which file or answer comes first. V8 numbers
 * them again, in the order of the cache, when it reads one. Part of scripts/image/bundle.ts.
 *
 * usage: node FLAGS scripts/image/number-functions.ts BUNDLE CACHE
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

const [bundle, cache] = process.argv.slice(2);
if (bundle === undefined || cache === undefined)
  throw new Error('usage: see the head of scripts/image/number-functions.ts');
// V8 takes a cache from the same flags only, and scripts/image/code-cache.ts wrote it with those of the image.
setFlagsFromString('--hash-seed=0');
const script = new Script(readFileSync(bundle, 'latin1'), {
  filename: '/usr/lib/rancher-agent-entrypoint/entrypoint.js',
  cachedData: readFileSync(cache),
});
if (script.cachedDataRejected !== false) throw new Error(`V8 does not take ${cache}`);
writeFileSync(cache, script.createCachedData());
