/** What signing needs of a registry (OCI distribution API v1.1): manifests and small blobs of one repository. */
import { registryOf, type RegistryAuth } from '../../src/engine/registry-auth.ts';
import { dockerConfigFolder, readRegistryCredentials } from '../../src/host/registry-credentials.ts';
import { Failure } from './failure.ts';
import { digestOf, manifestType } from './layout.ts';

/** Milliseconds for one request: a bill of materials of a few MB on a slow line. */
const longestRequest = 120_000;
/** Bytes of a manifest: what registries accept. */
const largestManifest = 4 * 2 ** 20;
/** Bytes of a blob: a bill of materials with all packages of a base has 3 MB. */
const largestBlob = 64 * 2 ** 20;

const manifestTypes = [
  manifestType,
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
];

export interface Call {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer;
}

export class Registry {
  readonly #base: string;
  readonly #origin: string;
  readonly #auth: RegistryAuth | undefined;
  readonly #writes: boolean;
  #authorization: string | undefined;

  private constructor(origin: string, path: string, auth: RegistryAuth | undefined, writes: boolean) {
    this.#writes = writes;
    this.#origin = origin;
    this.#base = `${origin}/v2/${path}`;
    this.#auth = auth;
  }

  /**
   * @param repository registry and path, e.g. `registry.corp/rancher/agent`
   * @param writes whether a token for uploads is asked for, where the registry takes tokens
   */
  static async open(repository: string, writes: boolean): Promise<Registry> {
    const { auth, problem } = await readRegistryCredentials(
      dockerConfigFolder(definedEnvironment()),
      repository,
    );
    if (problem !== undefined) console.error(`sign: ${problem}`);
    const [host = '', ...path] = repository.split('/');
    // As Docker does it: only this machine is spoken to without TLS.
    const isHere = /^(localhost|127\.[\d.]+)(:\d+)?$/.test(host);
    const address = registryOf(repository) === 'index.docker.io' ? 'registry-1.docker.io' : host;
    return new Registry(`${isHere ? 'http' : 'https'}://${address}`, path.join('/'), auth, writes);
  }

  /** @returns the bytes, or undefined if there is no such manifest; those of a digest have that digest */
  async readManifest(reference: string): Promise<Buffer | undefined> {
    const accept = manifestTypes.join(', ');
    const response = await this.#ask(
      `/manifests/${reference}`,
      { method: 'GET', headers: { accept } },
      [200, 404],
    );
    if (response.status === 404) {
      await response.body?.cancel();
      return undefined;
    }
    const bytes = await readBody(response, largestManifest);
    if (reference.startsWith('sha256:')) requireDigest(bytes, reference);
    return bytes;
  }

  async readBlob(digest: string): Promise<Buffer> {
    const response = await this.#ask(`/blobs/${digest}`, { method: 'GET' }, [200]);
    const bytes = await readBody(response, largestBlob);
    requireDigest(bytes, digest);
    return bytes;
  }

  /** Uploads a blob, unless the registry has it. */
  async writeBlob(bytes: Buffer): Promise<void> {
    const digest = digestOf(bytes);
    const found = await this.#ask(`/blobs/${digest}`, { method: 'HEAD' }, [200, 404]);
    if (found.status === 200) return;
    const started = await this.#ask('/blobs/uploads/', { method: 'POST' }, [202]);
    const location = started.headers.get('location');
    if (location === null) throw new Failure(69, 'the registry began an upload and did not say where');
    const url = new URL(location, this.#base);
    url.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream' };
    await this.#ask(url, { method: 'PUT', headers, body: bytes }, [201]);
  }

  async writeManifest(tag: string, bytes: Buffer): Promise<void> {
    const headers = { 'content-type': manifestType };
    await this.#ask(`/manifests/${tag}`, { method: 'PUT', headers, body: bytes }, [201]);
  }

  async #ask(path: string | URL, call: Call, accepted: readonly number[]): Promise<Response> {
    const url = typeof path === 'string' ? new URL(`${this.#base}${path}`) : path;
    const first = await this.#send(url, call);
    const response = first.status === 401 ? await this.#sendWithLogin(url, call, first) : first;
    if (accepted.includes(response.status)) return response;
    const text = (await readBody(response, largestManifest)).toString('utf8').slice(0, 300);
    const status = response.status === 401 || response.status === 403 ? 77 : 69;
    throw new Failure(
      status,
      `the registry answers ${response.status} to ${call.method} ${url.pathname}: ${text}`,
    );
  }

  async #send(url: URL, { method, headers, body }: Call): Promise<Response> {
    // A storage that an upload is sent to is not shown the login.
    const isOwn = url.origin === this.#origin;
    const authorization =
      isOwn && this.#authorization !== undefined ? { authorization: this.#authorization } : {};
    return request(url, {
      method,
      headers: { ...headers, ...authorization },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    });
  }

  async #sendWithLogin(url: URL, call: Call, refused: Response): Promise<Response> {
    await refused.body?.cancel();
    const challenge = refused.headers.get('www-authenticate') ?? '';
    const basic = basicOf(this.#auth);
    if (/^basic\b/i.test(challenge) && basic !== undefined) this.#authorization = basic;
    else if (/^bearer\b/i.test(challenge)) this.#authorization = await this.#fetchToken(challenge, basic);
    else
      throw new Failure(
        77,
        `${this.#origin} wants a login, and docker's config.json has none: "docker login" writes it`,
      );
    return this.#send(url, call);
  }

  /** A token for what the challenge names (distribution's token protocol). */
  async #fetchToken(challenge: string, basic: string | undefined): Promise<string> {
    const { realm, service, scope } = Object.fromEntries(
      [...challenge.matchAll(/(realm|service|scope)="([^"]*)"/g)].map(([, name = '', value = '']) => [
        name,
        value,
      ]),
    );
    const url = URL.parse(realm ?? '');
    if (url === null || (url.protocol !== 'https:' && !this.#origin.startsWith('http:')))
      throw new Failure(77, `${this.#origin} sends to a place for logins that is not safe`);
    if (service !== undefined) url.searchParams.set('service', service);
    // The first request is a read, and its challenge asks for no more than that.
    const wanted = this.#writes ? scope?.replace(/:pull$/, ':pull,push') : scope;
    if (wanted !== undefined) url.searchParams.set('scope', wanted);
    const response = await request(url, { headers: basic === undefined ? {} : { authorization: basic } });
    if (response.status !== 200)
      throw new Failure(77, `${url.host} refuses the login with ${response.status}`);
    const answer = JSON.parse((await readBody(response, largestManifest)).toString('utf8')) as Record<
      string,
      unknown
    >;
    const token = answer['token'] ?? answer['access_token'];
    if (typeof token !== 'string') throw new Failure(77, `${url.host} gave no token`);
    return `Bearer ${token}`;
  }
}

async function request(url: URL, options: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { ...options, signal: AbortSignal.timeout(longestRequest) });
  } catch (error) {
    const cause =
      error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error);
    throw new Failure(69, `${url.host} does not answer: ${cause}`);
  }
}

async function readBody(response: Response, most: number): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (response.body === null) return Buffer.alloc(0);
  try {
    for await (const chunk of response.body as ReadableStream<Uint8Array>) {
      size += chunk.length;
      if (size > most) throw new Failure(69, `the registry answers with more than ${most} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(69, `the answer of the registry broke off: ${String(error)}`);
  }
  return Buffer.concat(chunks);
}

function requireDigest(bytes: Buffer, digest: string): void {
  if (digestOf(bytes) !== digest) throw new Failure(1, `the registry gives something else for ${digest}`);
}

function basicOf(auth: RegistryAuth | undefined): string | undefined {
  if (auth?.username === undefined || auth.password === undefined) return undefined;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;
}

function definedEnvironment(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(process.env).filter((it): it is [string, string] => it[1] !== undefined),
  );
}
