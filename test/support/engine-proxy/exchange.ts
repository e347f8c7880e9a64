import type { ApiPin } from './engine-api-pin.ts';

/* What the proxy records of a request, and what it does with the request. */

export interface RecordedRequest {
  /** 1 for the first request since the last reset. */
  n: number;
  method: string;
  /** Without the version prefix and the query. */
  path: string;
  /** The version prefix, e.g. `1.41`, if the client sent one. */
  apiVersion?: string;
  query: Record<string, string>;
  userAgent: string;
  /** Wall clock, ms. */
  at: number;
  /** The status of the answer, by the engine or by a rule; missing while there is no answer. */
  status?: number;
  /** JSON body of a POST. */
  body?: unknown;
  /** When the answer was complete or the connection was closed. Wall clock, ms. */
  endedAt?: number;
}

export type ProxyAction =
  /** Forwards after `ms`. */
  | { kind: 'delay'; ms: number }
  /** Answers itself; the engine never sees the request. */
  | { kind: 'answer'; status: number; body?: unknown; contentType?: string }
  /** Never answers; the engine never sees the request. */
  | { kind: 'hang' }
  /** Destroys the connection; the engine never sees the request. */
  | { kind: 'cut' }
  /** Forwards, passes status and headers back, then destroys the connection. */
  | { kind: 'cut-after-headers' }
  /** Forwards; the engine does it, but its answer is lost and the connection destroyed. */
  | { kind: 'lose-answer' }
  /** Runs something before the request is forwarded, or after the engine's status came and before it is passed back. */
  | { kind: 'call'; when: 'before' | 'after'; run: (request: RecordedRequest) => Promise<void> | void };

/** The state of a request that is being forwarded. */
export interface Exchange {
  record: RecordedRequest;
  action: ProxyAction | undefined;
  pin: ApiPin | undefined;
  /** Path and query for the engine. */
  target: string;
}
