import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { Registry } from '../../../scripts/signing/registry.ts';

/** What Debian's registry cannot be made to do: tokens of another server, uploads that go elsewhere, answers without an end. */

const basic = `Basic ${Buffer.from('ops:secret').toString('base64')}`;
const servers: Server[] = [];
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sign-registry-'));
  vi.stubEnv('DOCKER_CONFIG', folder);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
  await rm(folder, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** @returns its address */
async function serve(
  answer: (method: string, path: string, headers: IncomingHttpHeaders) => Answer,
): Promise<string> {
  const server = createServer((request, response) => {
    const {
      status,
      headers = {},
      body = '',
    } = answer(request.method ?? '', request.url ?? '', request.headers);
    request.resume();
    response.writeHead(status, headers).end(body);
  }).listen(0, '127.0.0.1');
  servers.push(server);
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function logIn(address: string): Promise<void> {
  const auth = basic.replace('Basic ', '');
  await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { [address]: { auth } } }));
}

it.each([
  [true, 'repository:rancher/agent:pull,push'],
  [false, 'repository:rancher/agent:pull'],
])('a registry that takes tokens gets one (uploads: %s)', async (writes, wanted) => {
  const asked: string[] = [];
  const tokens = await serve((_method, path, { authorization }) => {
    asked.push(path);
    return authorization === basic ? { status: 200, body: '{"token":"t0"}' } : { status: 401 };
  });
  const challenge = `Bearer realm="http://${tokens}/token",service="corp",scope="repository:rancher/agent:pull"`;
  const address = await serve((_method, _path, { authorization }) =>
    authorization === 'Bearer t0'
      ? { status: 404, body: '{}' }
      : { status: 401, headers: { 'www-authenticate': challenge } },
  );
  await logIn(address);
  const registry = await Registry.open(`${address}/rancher/agent`, writes);
  expect(await registry.readManifest('v1')).toBeUndefined();
  expect(asked).toHaveLength(1);
  const { searchParams } = new URL(asked[0] ?? '', 'http://x');
  expect(Object.fromEntries(searchParams)).toEqual({ service: 'corp', scope: wanted });
});

it('a login that is refused ends it, and nothing names the password', async () => {
  const address = await serve(() => ({ status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } }));
  await logIn(address);
  const registry = await Registry.open(`${address}/rancher/agent`, true);
  const failure = await registry.readManifest('v1').catch((error: unknown) => error);
  expect(failure).toMatchObject({ status: 77, message: expect.stringContaining('401') as string });
  expect(String(failure)).not.toContain(basic.replace('Basic ', ''));
});

it('an upload that goes to another server does not show it the login', async () => {
  const shown: (string | undefined)[] = [];
  const storage = await serve((_method, _path, { authorization }) => {
    shown.push(authorization);
    return { status: 201 };
  });
  const address = await serve((method, _path, { authorization }) => {
    if (authorization !== basic) return { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } };
    return method === 'HEAD'
      ? { status: 404 }
      : { status: 202, headers: { location: `http://${storage}/put?a=b` } };
  });
  await logIn(address);
  const registry = await Registry.open(`${address}/rancher/agent`, true);
  await registry.writeBlob(Buffer.from('x'));
  expect(shown).toEqual([undefined]);
});

it('an answer that is too long is not read to its end', async () => {
  const address = await serve(() => ({ status: 200, body: 'x'.repeat(5_000_000) }));
  const registry = await Registry.open(`${address}/rancher/agent`, false);
  await expect(registry.readManifest('v1')).rejects.toThrow('more than 4194304 bytes');
});
