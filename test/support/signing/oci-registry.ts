/**
 * A registry that is not ours: Debian's docker-registry (distribution 2.8), on this machine, with its data in memory or
 * a folder.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface OciRegistry {
  /** Host and port, as names of images begin. */
  readonly address: string;
  /** Uploads bytes and a manifest as they are. @returns the digest of the manifest */
  putManifest(repository: string, reference: string | undefined, manifest: object): Promise<string>;
  putBlob(repository: string, bytes: Buffer): Promise<string>;
  getManifest(repository: string, reference: string): Promise<TestManifest>;
  getBlob(repository: string, digest: string): Promise<Buffer>;
  close(): Promise<void>;
}

export interface TestManifest {
  readonly schemaVersion: number;
  readonly mediaType: string;
  readonly config: { readonly mediaType: string; readonly size: number; readonly digest: string };
  readonly layers: readonly {
    readonly mediaType: string;
    readonly size: number;
    readonly digest: string;
    readonly annotations?: Readonly<Record<string, string>>;
  }[];
}

const ociManifest = 'application/vnd.oci.image.manifest.v1+json';

/** @param htpasswd a file of users; with it, a request needs a login, which is `login` */
export async function startOciRegistry(access?: {
  readonly htpasswd: string;
  readonly login: string;
}): Promise<OciRegistry> {
  const folder = await mkdtemp(join(tmpdir(), 'oci-registry-'));
  const address = `127.0.0.1:${await findPort()}`;
  const lines = [
    'version: 0.1',
    'log: { level: error, accesslog: { disabled: true } }',
    `storage: { filesystem: { rootdirectory: ${folder}/data } }`,
    `http: { addr: "${address}" }`,
  ];
  if (access !== undefined) {
    await writeFile(join(folder, 'htpasswd'), access.htpasswd);
    lines.push(`auth: { htpasswd: { realm: test, path: ${folder}/htpasswd } }`);
  }
  await writeFile(join(folder, 'config.yml'), `${lines.join('\n')}\n`);
  const server = spawn('/usr/bin/docker-registry', ['serve', join(folder, 'config.yml')], {
    stdio: 'ignore',
  });
  const headers: Readonly<Record<string, string>> =
    access === undefined ? {} : { authorization: `Basic ${Buffer.from(access.login).toString('base64')}` };
  const ask = async (path: string, options: RequestInit = {}): Promise<Response> => {
    const response = await fetch(new URL(path, `http://${address}`), {
      ...options,
      headers: { ...headers, ...(options.headers as Record<string, string> | undefined) },
    });
    if (!response.ok)
      throw new Error(`${options.method ?? 'GET'} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  await waitUntilUp(ask);
  return {
    address,
    putManifest: async (repository, reference, manifest) => {
      const bytes = Buffer.from(JSON.stringify(manifest));
      const digest = sha256(bytes);
      const type = (manifest as { mediaType?: string }).mediaType ?? ociManifest;
      await ask(`/v2/${repository}/manifests/${reference ?? digest}`, {
        method: 'PUT',
        headers: { 'content-type': type },
        body: new Uint8Array(bytes),
      });
      return digest;
    },
    putBlob: async (repository, bytes) => {
      const started = await ask(`/v2/${repository}/blobs/uploads/`, { method: 'POST' });
      const url = new URL(started.headers.get('location') ?? '', `http://${address}`);
      url.searchParams.set('digest', sha256(bytes));
      await ask(url.href, { method: 'PUT', body: new Uint8Array(bytes) });
      return sha256(bytes);
    },
    getManifest: async (repository, reference) =>
      (await (
        await ask(`/v2/${repository}/manifests/${reference}`, { headers: { accept: ociManifest } })
      ).json()) as TestManifest,
    getBlob: async (repository, digest) =>
      Buffer.from(await (await ask(`/v2/${repository}/blobs/${digest}`)).arrayBuffer()),
    close: async () => {
      const ended = once(server, 'exit');
      if (server.exitCode === null) {
        server.kill('SIGTERM');
        await ended;
      }
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export function sha256(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** Pushes a small image with labels. @returns its digest */
export async function pushImage(
  registry: OciRegistry,
  repository: string,
  labels: Readonly<Record<string, string>>,
): Promise<string> {
  const layer = Buffer.from('not really a layer');
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      created: '2026-11-01T00:00:00Z',
      config: { Labels: labels },
      rootfs: { type: 'layers', diff_ids: [sha256(layer)] },
    }),
  );
  const digests = [await registry.putBlob(repository, config), await registry.putBlob(repository, layer)];
  return registry.putManifest(repository, undefined, {
    schemaVersion: 2,
    mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
    config: {
      mediaType: 'application/vnd.docker.container.image.v1+json',
      size: config.length,
      digest: digests[0],
    },
    layers: [
      {
        mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
        size: layer.length,
        digest: digests[1],
      },
    ],
  });
}

async function findPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function waitUntilUp(ask: (path: string) => Promise<Response>): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    try {
      await ask('/v2/');
      return;
    } catch (error) {
      if (tries >= 200) throw error;
      await sleep(50);
    }
  }
}
