/**
 * A server on this machine that speaks the API of OSV (https://google.github.io/osv.dev/api/), with what a test plants.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface OsvQuery {
  readonly version: string;
  readonly package: { readonly ecosystem: string; readonly name: string };
  readonly page_token?: string;
}

/** A vulnerability, and the package that has it. */
export interface Planted {
  readonly ecosystem: string;
  readonly name: string;
  readonly record: { readonly id: string; readonly [field: string]: unknown };
}

export interface OsvServer {
  readonly address: string;
  /** What it knows; may be changed. */
  planted: readonly Planted[];
  /** Whether it knows that old versions have vulnerabilities; a list of databases that it knows them of. */
  knowsOld: readonly string[];
  /** Answers a request itself if it returns true. */
  disturb: (request: IncomingMessage, response: ServerResponse) => boolean;
  /** How many ids are on a page of an answer; 0: the pages never end. */
  pageSize: number;
  readonly queries: OsvQuery[];
  close(): Promise<void>;
}

const databases = ['npm', 'GIT', 'Bitnami', 'Debian:12'];
/** One old version for each of these databases. */
const OLD = /^(4\.17\.15|v?18\.0\.0|openssl-3\.0\.0|2\.36-9)$/;

export async function startOsvServer(): Promise<OsvServer> {
  const server = createServer((request, response) => {
    if (state.disturb(request, response)) return;
    void answer(state, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const state: OsvServer = {
    address: `http://127.0.0.1:${port}`,
    planted: [],
    knowsOld: databases,
    disturb: () => false,
    pageSize: 1000,
    queries: [],
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => {
          resolve();
        });
      }),
  };
  return state;
}

async function answer(state: OsvServer, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, id] = /^\/v1\/vulns\/(.+)$/.exec(request.url ?? '') ?? [];
  if (request.method === 'GET' && id !== undefined) {
    const found = state.planted.find(({ record }) => record.id === decodeURIComponent(id));
    response.writeHead(found === undefined ? 404 : 200).end(JSON.stringify(found?.record ?? { code: 5 }));
    return;
  }
  if (request.method !== 'POST' || request.url !== '/v1/querybatch') {
    response.writeHead(404).end();
    return;
  }
  let body = '';
  for await (const part of request) body += String(part);
  const { queries } = JSON.parse(body) as { queries: readonly OsvQuery[] };
  state.queries.push(...queries);
  const results = queries.map((query) => resultOf(state, query));
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ results }));
}

/** Like OSV, an empty object where nothing is known. */
function resultOf({ planted, knowsOld, pageSize }: OsvServer, query: OsvQuery): object {
  if (OLD.test(query.version))
    return knowsOld.includes(query.package.ecosystem) ? { vulns: [{ id: 'OLD' }] } : {};
  const ids = planted
    .filter(({ ecosystem, name }) => ecosystem === query.package.ecosystem && name === query.package.name)
    .map(({ record }) => ({ id: record.id, modified: '2026-11-28T00:00:00Z' }));
  const start = Number(query.page_token ?? 0);
  const vulns = ids.slice(start, start + pageSize);
  const more = start + pageSize < ids.length ? { next_page_token: String(start + pageSize) } : {};
  return ids.length === 0 ? {} : { vulns, ...more };
}
