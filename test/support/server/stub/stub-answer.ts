import { errorDocument } from './stub-faults.ts';

/* What every endpoint of the stand-in has in common: a request, an answer, and the documents of the API. */

export type Account = 'registration' | 'agent' | 'admin';

export interface StubRequest {
  readonly method: string;
  /** Without query, double slashes collapsed. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: string;
  /** Scheme, host and port as the client sees them (control-plane §1.5). */
  readonly base: string;
  readonly clientIp: string;
  readonly account: Account | undefined;
}

export interface StubAnswer {
  readonly status: number;
  readonly body: string | Buffer;
  readonly type?: string;
  /** The body takes at least this long, in ms. */
  readonly overMs?: number;
}

export const route = /^\/(v1|v2-beta)(\/projects\/1a5)?(?:\/(.*))?$/;

export function collection(resourceType: string, data: readonly unknown[]): Record<string, unknown> {
  return {
    type: 'collection',
    resourceType,
    links: {},
    createTypes: {},
    actions: {},
    data,
    pagination: null,
  };
}

export function json(status: number, body: unknown): StubAnswer {
  // Cattle escapes slashes (control-plane §1.7).
  return {
    status,
    body: JSON.stringify(body).replaceAll('/', '\\/'),
    type: 'application/json; charset=utf-8',
  };
}

export function error(status: number, message: string): StubAnswer {
  return json(status, errorDocument(status, message));
}
