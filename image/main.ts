/**
 * What Node starts with in the image: runs the bundle (`entrypoint.js`, beside it) with the code that V8 compiled when the
 * image was built. V8 takes that only from the very same version with the very same flags, and otherwise compiles the
 * bundle as it would any other.
 */
import { readFileSync, stat, statSync } from 'node:fs';
import { Script } from 'node:vm';
import { askAhead } from '../src/engine/head-start.ts';
import { readSocketPath } from '../src/support/socket-path.ts';

/** Set by the bundler from package.json. */
declare const __VERSION__: string;

type Require = (id: string) => unknown;
type Bundle = (require: Require, module: object, exports: object) => void;

/**
 * Modules of Node that take long to load and that few commands need: each is loaded when something of it is first used.
 * `https` and `tls` alone cost 16 ms of CPU, `crypto` 4.
 */
const late = new Set(['child_process', 'crypto', 'https', 'tls', 'worker_threads', 'zlib']);

const file = `${__dirname}/entrypoint.js`;
const exports = {};
const [, , command] = process.argv;

// The one command whose milliseconds count asks the host for three small files.
if (command !== 'inspect-host') widenThreadPool();

if (command === 'inspect-host') {
  askAhead(
    readSocketPath(process.env['DOCKER_HOST']),
    `rancher-agent-entrypoint/${__VERSION__} (inspect-host)`,
  );
  // A connection that is there is told, and the question sent, in a turn of the event loop.
  setImmediate(runBundle);
} else {
  runBundle();
}

/**
 * Each call to a disk that does not answer keeps one thread of libuv for good, and there are four: with one for the status, the
 * record of serving, a lock and a folder, no name could be looked up and no file be read any more. libuv reads the variable once,
 * at the first call; children must not inherit it.
 */
function widenThreadPool(): void {
  const before = process.env['UV_THREADPOOL_SIZE'];
  process.env['UV_THREADPOOL_SIZE'] = '16';
  stat(file, () => undefined);
  if (before === undefined) delete process.env['UV_THREADPOOL_SIZE'];
  else process.env['UV_THREADPOOL_SIZE'] = before;
}

function runBundle(): void {
  const cachedData = readCodeCache();
  // One byte a character: the bundle is plain ASCII.
  const script = new Script(readFileSync(file, 'latin1'), {
    filename: file,
    ...(cachedData === undefined ? {} : { cachedData }),
  });
  (script.runInThisContext() as Bundle)(requireLate, { exports }, exports);
}

/** The compiled code; none when it is missing, or older than a bundle that somebody has changed. */
function readCodeCache(): Buffer | undefined {
  const cache = `${file}.${process.arch}.cache`;
  try {
    return statSync(cache).mtimeMs < statSync(file).mtimeMs ? undefined : readFileSync(cache);
  } catch {
    return undefined;
  }
}

function requireLate(id: string): unknown {
  if (!late.has(id.replace('node:', ''))) return module.require(id);
  let loaded: Record<PropertyKey, unknown> | undefined;
  const load = (): Record<PropertyKey, unknown> =>
    (loaded ??= module.require(id) as Record<PropertyKey, unknown>);
  return new Proxy(
    {},
    {
      get: (_, key) => load()[key],
      has: (_, key) => key in load(),
      ownKeys: () => Reflect.ownKeys(load()),
      getOwnPropertyDescriptor: (_, key) => ({
        ...Reflect.getOwnPropertyDescriptor(load(), key),
        configurable: true,
      }),
    },
  );
}
