/**
 * Which Docker engine the test hosts run: this machine's, or that of another Debian suite (`TEST_ENGINE=trixie`). A
 * host with an engine of another suite has that suite's root folder as its own, with its containerd, runc, iptables and
 * tools.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '..', '..', '..');
const BUILD_DEADLINE_MS = 15 * 60_000;

/** The root folder of the suite's machine, created if it is missing; undefined for this machine itself. */
export async function ensureEngineRoot(): Promise<string | undefined> {
  const suite = process.env['TEST_ENGINE'] ?? '';
  if (suite === '') return undefined;
  // All hosts of one test run get the same one.
  process.env['RAH_ENGINE_ROOT'] ??= await buildRoot(suite);
  return process.env['RAH_ENGINE_ROOT'];
}

/** The API version that every host's engine speaks to its containers (`TEST_API=1.24`); undefined: its own. */
export function pinnedApi(): string | undefined {
  const version = process.env['TEST_API'] ?? '';
  return version === '' ? undefined : version;
}

/**
 * Options of `docker run` and `docker exec` for a container with Docker's client of today: this client must be given
 * the version of an old engine.
 */
export function toldApi(): readonly string[] {
  const api = pinnedApi();
  return api === undefined ? [] : ['-e', `DOCKER_API_VERSION=${api}`];
}

async function buildRoot(suite: string): Promise<string> {
  const script = join(ROOT, 'scripts', 'fixtures', 'build-engine-root');
  const { stdout } = await run(script, [suite], { cwd: ROOT, timeout: BUILD_DEADLINE_MS });
  return stdout.trim();
}
