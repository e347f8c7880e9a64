/**
 * A small image registry (registry API v2, pull only) that a test host's engine can reach: it serves real images. It
 * can also be stopped, hang in the middle of a layer, or not know an image.
 */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What the registry does with requests. `hangs` stops in the middle of every layer. */
export type RegistryMood = 'well' | 'hangs' | 'knows nothing';

/**
 * An image as a registry keeps it. Layers without bytes are never sent, because the engine that pulls already has them.
 */
export interface RegistryImage {
  /** Path and tag, e.g. `rancher/agent:v1`. */
  readonly name: string;
  /** The configuration as JSON. */
  readonly config: Buffer;
  readonly layers: readonly RegistryLayer[];
}

export interface RegistryLayer {
  /** `sha256:…` of the bytes. */
  readonly digest: string;
  readonly size: number;
  readonly bytes?: Buffer;
}

export interface ImageRegistry {
  /** Host and port, as image references begin. */
  readonly address: string;
  mood: RegistryMood;
  /** Serves an image. @returns the reference to pull it by */
  serve(image: RegistryImage): string;
  /** Closes the port: connections are refused until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  /** Serves every request again. */
  reset(): Promise<void>;
}

const types = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  layer: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
  blob: 'application/octet-stream',
} as const;

/** @param host address to listen on */
export async function startImageRegistry(host: string): Promise<ImageRegistry> {
  const manifests = new Map<string, Buffer>();
  const configs = new Map<string, Buffer>();
  const layers = new Map<string, Buffer>();
  const sockets = new Set<Socket>();
  const server = createServer((request, response) => {
    response.setHeader('docker-distribution-api-version', 'registry/2.0');
    answer(request, response);
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });

  function answer(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? '/';
    const [, name = '', kind = '', key = ''] = /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(path) ?? [];
    if (path === '/v2/') send(response, types.blob, Buffer.from('{}'));
    else if (registry.mood === 'knows nothing') refuse(response);
    else if (kind === 'manifests')
      send(response, types.manifest, manifests.get(`${name}${key.includes(':') ? '@' : ':'}${key}`));
    else if (registry.mood === 'hangs' && layers.has(key)) sendHalf(response, layers.get(key));
    else send(response, types.blob, configs.get(key) ?? layers.get(key));
  }

  const listen = async (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host, () => {
        server.off('error', reject);
        resolve((server.address() as AddressInfo).port);
      });
    });
  const port = await listen(0);
  const registry: ImageRegistry = {
    address: `${host}:${port}`,
    mood: 'well',
    serve: (image) => {
      const manifest = manifestOf(image);
      manifests.set(image.name, manifest);
      manifests.set(`${repositoryOf(image.name)}@${digestOf(manifest)}`, manifest);
      configs.set(digestOf(image.config), image.config);
      for (const { digest, bytes } of image.layers) if (bytes !== undefined) layers.set(digest, bytes);
      return `${host}:${port}/${image.name}`;
    },
    pause: async () => {
      if (!server.listening) return;
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      });
    },
    resume: async () => {
      if (!server.listening) await listen(port);
    },
    reset: async () => {
      registry.mood = 'well';
      await registry.resume();
    },
  };
  return registry;
}

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

function repositoryOf(name: string): string {
  return name.replace(/:[^/:]*$/, '');
}

function manifestOf({ config, layers }: RegistryImage): Buffer {
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: types.manifest,
      config: { mediaType: types.config, size: config.length, digest: digestOf(config) },
      layers: layers.map(({ size, digest }) => ({ mediaType: types.layer, size, digest })),
    }),
  );
}

function send(response: ServerResponse, type: string, bytes: Buffer | undefined): void {
  if (bytes === undefined) {
    refuse(response);
    return;
  }
  response.writeHead(200, {
    'content-type': type,
    'content-length': bytes.length,
    'docker-content-digest': digestOf(bytes),
  });
  response.end(bytes);
}

/** Sends no more bytes until the client closes the connection. */
function sendHalf(response: ServerResponse, bytes: Buffer = Buffer.alloc(0)): void {
  response.writeHead(200, { 'content-type': types.blob, 'content-length': bytes.length });
  response.write(bytes.subarray(0, bytes.length / 2));
}

/** As a registry says that it has no such thing. */
function refuse(response: ServerResponse): void {
  const errors = [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }];
  response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ errors }));
}
