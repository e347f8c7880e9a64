import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectEngine } from '../../../src/engine/docker-engine.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import type { EngineOptions } from '../../../src/engine/reads.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';

export interface EngineVersion {
  readonly Version: string;
  readonly ApiVersion: string;
}

export const engineOfToday: EngineVersion = { Version: '20.10.24', ApiVersion: '1.41' };
export const engineOfTheIncident: EngineVersion = { Version: '1.10.3', ApiVersion: '1.22' };

/** A request as the daemon saw it. */
export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Answer = (response: ServerResponse, seen: Seen) => void;

/** A real HTTP server on a real Unix socket that answers as a test wants. */
export class FakeDaemon {
  readonly socketPath: string;
  readonly seen: Seen[] = [];
  readonly #folder: string;
  readonly #server: Server;
  readonly #answers = new Map<string, Answer[]>();

  private constructor(folder: string) {
    this.#folder = folder;
    this.socketPath = join(folder, 'docker.sock');
    this.#server = createServer((request, response) => {
      this.#receive(request, response);
    });
  }

  /** @param version what it answers to a request for its version; without it, it answers 404 to that as well */
  static async start(version?: EngineVersion): Promise<FakeDaemon> {
    const daemon = new FakeDaemon(await mkdtemp(join(tmpdir(), 'fake-daemon-')));
    await new Promise<void>((resolve) => daemon.#server.listen(daemon.socketPath, resolve));
    return version === undefined ? daemon : daemon.on('GET', '/version', json(200, version));
  }

  /** Connects to this daemon as the program does. */
  async connect(parts: Partial<EngineOptions> = {}): Promise<Engine> {
    const { socketPath } = this;
    const usual = { apiVersion: undefined, userAgent: 'test', limits: defaultLimits, log: silentLog };
    return connectEngine({ socketPath, ...usual, ...parts });
  }

  /**
   * Answers for a method and a path without query and version prefix; with several, each request takes the next one
   * and the last one stays.
   */
  on(method: string, path: string, ...answers: readonly Answer[]): this {
    this.#answers.set(`${method} ${path}`, [...answers]);
    return this;
  }

  countOf(method: string, path: string): number {
    return this.seen.filter((request) => request.method === method && pathOf(request.url) === path).length;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#folder, { recursive: true, force: true });
  }

  #receive(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const { method = '', url = '', headers } = request;
      const seen = { method, url, headers, body: Buffer.concat(chunks).toString('utf8') };
      this.seen.push(seen);
      const answers = this.#answers.get(`${method} ${pathOf(url)}`) ?? [];
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      (answer ?? text(404, 'page not found'))(response, seen);
    });
  }
}

function pathOf(url: string): string {
  return (url.split('?')[0] ?? '').replace(/^\/v1\.\d+/, '');
}

/** As engines of today answer. */
export function json(status: number, body: unknown): Answer {
  return (response) => {
    response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body));
  };
}

/** As 1.10.3 answers when something is wrong. */
export function text(status: number, body: string): Answer {
  return (response) => {
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(body);
  };
}

export function empty(status: number): Answer {
  return (response) => {
    response.writeHead(status).end();
  };
}

/** A frozen daemon: it accepts the connection and sends nothing. */
export const silence: Answer = () => undefined;

/** A daemon that is killed after it has sent the headers and a piece of the body. */
export const cutInTheBody: Answer = (response) => {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
  response.write('{"Id":"');
  setTimeout(() => response.destroy(), 20);
};

/** A daemon that is killed before it has sent anything. */
export const cutAtOnce: Answer = (response) => {
  response.destroy();
};
