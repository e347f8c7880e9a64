/**
 * Has V8 compile the bundle once, when the image is built, instead of at every start: rehearses `inspect-host` and keeps
 * what was compiled for it. scripts/image/bundle.ts starts it with flags that make it write the same bytes for the same bundle.
 *
 * usage: node FLAGS scripts/image/code-cache.ts BUNDLE CACHE
 *
 * Nothing of this machine is read or written: every path that the rehearsed program asks for is one below a folder of our
 * own, and its engine is a stand-in in this process.
 */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import * as promises from 'node:fs/promises';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';

type Require = (id: string) => unknown;
type Bundle = (require: Require, module: object, exports: object) => void;
type Call = (...args: unknown[]) => unknown;

const answers: Readonly<Record<string, object>> = {
  '/version': { Version: '20.10.24', ApiVersion: '1.41' },
  '/info': { OperatingSystem: 'Debian GNU/Linux 12 (bookworm)' },
};
const hostFiles: Readonly<Record<string, string>> = {
  '/proc/self/mountinfo': '2 1 8:1 /var/lib/rancher /var/lib/rancher rw - ext4 /dev/sda1 rw\n',
  '/var/lib/rancher/state/.registration_token': `${'0'.repeat(128)}\n`,
};
/** Whether a function was optimized, a matter of time and chance, would be kept with it. */
const tiers = ['turbofan', 'maglev', 'sparkplug', 'flush-bytecode'];

const [bundle, cache] = process.argv.slice(2);
if (bundle === undefined || cache === undefined)
  throw new Error('usage: see the head of scripts/image/code-cache.ts');
for (const tier of tiers) setFlagsFromString(`--no-${tier}`);
const script = new Script(readFileSync(bundle, 'latin1'), {
  filename: '/usr/lib/rancher-agent-entrypoint/entrypoint.js',
});
const root = mkdtempSync(join(tmpdir(), 'code-cache-'));
process.on('exit', () => {
  rmSync(root, { recursive: true });
});
await startEngine(`${root}/engine.sock`);
rehearse(['inspect-host'], (status) => {
  if (status !== 0) throw new Error(`the rehearsal ended with status ${String(status)}`);
  // V8 takes it from the same flags only: those of the image.
  for (const flag of [...tiers, 'hash-seed=0']) setFlagsFromString(`--${flag}`);
  writeFileSync(cache, script.createCachedData());
});

async function startEngine(socket: string): Promise<void> {
  const server = createServer((request, response) => {
    const answer = answers[request.url?.replace(/\?.*/, '') ?? ''];
    response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer));
  });
  server.listen(socket);
  await once(server, 'listening');
}

/** Runs the program with these arguments in this process, which ends where the program does. */
function rehearse(args: readonly string[], conclude: (status: unknown) => void): void {
  for (const [path, text] of Object.entries(hostFiles)) {
    mkdirSync(dirname(root + path), { recursive: true });
    writeFileSync(root + path, text);
  }
  process.argv.splice(2, process.argv.length, ...args);
  process.env = { PATH: '/usr/bin:/bin', DOCKER_HOST: `unix://${root}/engine.sock` };
  // A program whose disk hangs ends by becoming another one (src/main.ts); here that would be the end of this script.
  process.getActiveResourcesInfo = () => [];
  const exit = process.exit.bind(process);
  process.exit = (status): never => {
    conclude(status);
    return exit();
  };
  (script.runInThisContext() as Bundle)(requireBelowRoot(), {}, {});
}

/** Node's modules, but every path given to `fs/promises` and `readFile` is one below `root`, and what is printed goes nowhere. */
function requireBelowRoot(): Require {
  const require = createRequire(import.meta.url);
  const below = Object.entries(promises).map(([name, value]) => {
    return [name, typeof value === 'function' ? withPathBelow(root, value as Call) : value] as const;
  });
  const fs = require('node:fs') as typeof import('node:fs');
  const replaced: Readonly<Record<string, unknown>> = {
    'node:fs/promises': Object.fromEntries(below),
    'node:fs': {
      ...fs,
      readFile: withPathBelow(root, fs.readFile as Call),
      writeSync: (_: number, bytes: Uint8Array) => bytes.length,
    },
  };
  return (id): unknown => replaced[id] ?? (require(id) as unknown);
}

function withPathBelow(folder: string, call: Call): Call {
  return (path, ...more): unknown => call(typeof path === 'string' ? folder + path : path, ...more);
}
