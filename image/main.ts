/**
 * What Node starts with in the image: runs the bundle (`entrypoint.js`, beside it) with the code that V8 compiled when the
 * image was built. V8 takes that only from the very same version with the very same flags, and otherwise compiles the
 * bundle as it would any other.
 */
import { readFileSync, statSync } from 'node:fs';
import { Script } from 'node:vm';

type Bundle = (require: NodeJS.Require, module: object, exports: object) => void;

const file = `${__dirname}/entrypoint.js`;
const exports = {};
const cachedData = readCodeCache();
// One byte a character: the bundle is plain ASCII.
const script = new Script(readFileSync(file, 'latin1'), {
  filename: file,
  ...(cachedData === undefined ? {} : { cachedData }),
});
(script.runInThisContext() as Bundle)(require, { exports }, exports);

/** The compiled code; none when it is missing, or older than a bundle that somebody has changed. */
function readCodeCache(): Buffer | undefined {
  const cache = `${file}.${process.arch}.cache`;
  try {
    return statSync(cache).mtimeMs < statSync(file).mtimeMs ? undefined : readFileSync(cache);
  } catch {
    return undefined;
  }
}
