import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** A page as captive portals, login pages and the server's own user interface answer with. */
export const htmlPage =
  '<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body>Please log in</body></html>\n';

/**
 * What goes wrong with one request (control-plane §9.4). `hang-accept` never answers, `hang-body` stops after the
 * headers and some bytes, `drip` sends a byte a time without end, `truncate` closes before the announced length,
 * `long` announces less than it sends, `chunks` breaks the chunked encoding, `endless` never stops sending.
 */
export type Fault =
  | 'reset'
  | 'hang-accept'
  | 'hang-body'
  | 'drip'
  | 'truncate'
  | 'chunks'
  | 'endless'
  | 'html200'
  | 'html200-with-schemas'
  | 'redirect-login'
  | 'redirect-https'
  | 'redirect-loop'
  | 'redirect-elsewhere'
  | { readonly redirect: string }
  | { readonly slow: number }
  | { readonly status: number; readonly body?: 'json' | 'html' | 'empty'; readonly retryAfter?: string }
  | { readonly text: string; readonly contentType?: string };

const dripPauseMs = 20;

/** Lets a fault happen to a request. Returns false when the request shall be answered as usual afterwards. */
export async function inflict(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  if (typeof fault === 'object') return await inflictWithValue(fault, response);
  switch (fault) {
    case 'reset':
      request.socket.resetAndDestroy();
      return true;
    case 'hang-accept':
      return true;
    case 'hang-body':
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': '1000' });
      response.write('#!/bin/sh\n');
      return true;
    case 'drip':
      response.writeHead(200, { 'content-type': 'text/plain' });
      await drip(response);
      return true;
    case 'truncate':
      response.writeHead(200, { 'content-type': 'text/plain', 'content-length': '1000' });
      response.write('#!/bin/bash\necho half\n', () => request.socket.end());
      return true;
    case 'chunks':
      request.socket.end('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n#!/bi\r\nnonsense\r\n');
      return true;
    case 'endless':
      response.writeHead(200, { 'content-type': 'text/plain' });
      pour(response);
      return true;
    case 'html200':
    case 'html200-with-schemas':
    case 'redirect-login':
    case 'redirect-https':
    case 'redirect-loop':
    case 'redirect-elsewhere':
      inflictHtml(fault, request, response);
      return true;
  }
}

async function inflictWithValue(fault: Exclude<Fault, string>, response: ServerResponse): Promise<boolean> {
  if ('slow' in fault) {
    await delay(fault.slow);
    return false;
  }
  if ('redirect' in fault) {
    response.writeHead(302, { location: fault.redirect, 'content-type': 'text/html' }).end(htmlPage);
    return true;
  }
  if ('text' in fault) {
    response.writeHead(200, { 'content-type': fault.contentType ?? 'text/plain' }).end(fault.text);
    return true;
  }
  const bodies = {
    json: {
      type: 'application/json',
      text: JSON.stringify(errorDocument(fault.status, `stub fault ${fault.status}`)),
    },
    html: { type: 'text/html', text: htmlPage },
    empty: { type: 'text/plain', text: '' },
  };
  const { type, text } = bodies[fault.body ?? 'json'];
  response
    .writeHead(fault.status, {
      'content-type': type,
      ...(fault.retryAfter === undefined ? {} : { 'retry-after': fault.retryAfter }),
    })
    .end(text);
  return true;
}

type HtmlFault = Extract<Fault, `html${string}` | `redirect-${string}`>;

function inflictHtml(fault: HtmlFault, request: IncomingMessage, response: ServerResponse): void {
  const host = request.headers.host ?? 'stub';
  const targets: Partial<Record<HtmlFault, string>> = {
    'redirect-login': '/login',
    'redirect-https': `https://${host}${request.url ?? '/'}`,
    'redirect-loop': request.url ?? '/',
    'redirect-elsewhere': 'http://elsewhere.invalid/v1/schemas',
  };
  const location = targets[fault];
  if (location !== undefined) {
    response.writeHead(302, { location, 'content-type': 'text/html' }).end(htmlPage);
    return;
  }
  const schemas = fault === 'html200-with-schemas' ? { 'x-api-schemas': `http://${host}/v1/schemas` } : {};
  response.writeHead(200, { 'content-type': 'text/html', ...schemas }).end(htmlPage);
}

/** The error document of the API (control-plane §1.12). */
export function errorDocument(status: number, message: string, code = message): Record<string, unknown> {
  return {
    id: crypto.randomUUID(),
    type: 'error',
    links: {},
    actions: {},
    status,
    code,
    message,
    detail: null,
    baseType: 'error',
  };
}

async function drip(response: ServerResponse): Promise<void> {
  while (!response.destroyed && !response.closed) {
    response.write('#');
    await delay(dripPauseMs, undefined, { ref: false });
  }
}

function pour(response: ServerResponse): void {
  const block = Buffer.alloc(65_536, 'x');
  const more = (): void => {
    while (!response.destroyed && response.write(block));
  };
  response.on('drain', more);
  more();
}
