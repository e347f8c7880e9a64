import { createServer as createHttpServer, ServerResponse, type IncomingMessage } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import { setTimeout as delay } from 'node:timers/promises';
import { answer, nameEndpoint, type Account, type Endpoint, type StubRequest } from './stub-api.ts';
import { createBehaviour, type Behaviour } from './stub-behaviour.ts';
import { inflict, type Fault } from './stub-faults.ts';
import { addRegistration, type AgentKeys, type StubRegistration, type StubState } from './stub-state.ts';
import { StubWebsockets, type AgentConnections } from './stub-websocket.ts';

export type { Endpoint } from './stub-api.ts';
export type { Behaviour } from './stub-behaviour.ts';
export type { Fault } from './stub-faults.ts';
export type { AgentConnection, AgentConnections } from './stub-websocket.ts';

export interface StubOptions extends Partial<Behaviour> {
  /** Address to listen on; `0.0.0.0` for containers. */
  readonly host?: string;
  readonly port?: number;
  /** PEM texts; https when given. */
  readonly tls?: Readonly<
    Pick<SecureContextOptions, 'key' | 'cert' | 'ciphers' | 'minVersion' | 'maxVersion'>
  >;
  /** The registration token. */
  readonly registrationTokenText?: string;
  /** Agents that exist already. */
  readonly agents?: readonly AgentKeys[];
  /** Keys of a person's account, for when access control is on. */
  readonly account?: AgentKeys;
  /** Called for every request as it comes in. */
  readonly onRequest?: (request: RecordedRequest) => void;
}

export interface RecordedRequest {
  readonly endpoint: Endpoint;
  readonly method: string;
  /** Path and query as they came in. */
  readonly url: string;
  readonly authorization: string | undefined;
  readonly accept: string | undefined;
  readonly contentType: string | undefined;
  readonly userAgent: string | undefined;
  readonly enforceAuthentication: string | undefined;
  readonly body: string;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface FaultOptions {
  /** How often it happens before it clears; for ever when not given. */
  readonly times?: number;
  /** Requests let through before. */
  readonly after?: number;
}

export interface StubServer {
  /** Scheme, host and port. */
  readonly url: string;
  readonly port: number;
  /** `<url>/v1/scripts/<token>`. */
  readonly registrationUrl: string;
  readonly token: string;
  /** Everything that can be switched while it runs. */
  readonly behaviour: Behaviour;
  readonly requests: readonly RecordedRequest[];
  readonly registrations: readonly StubRegistration[];
  /** Keys of the agents that registered or existed from the start. */
  readonly agents: readonly AgentKeys[];
  /** Bodies of external host events and publications. */
  readonly events: readonly unknown[];
  /** Websockets of agents, in the order in which they were opened. */
  readonly connections: AgentConnections;
  /** Requests to one endpoint. */
  requestsTo(endpoint: Endpoint): readonly RecordedRequest[];
  /** Lets something go wrong with requests to an endpoint, or to any. Faults of an endpoint happen one after the other. */
  fault(endpoint: Endpoint | 'any', fault: Fault, options?: FaultOptions): void;
  clearFaults(): void;
  /** Healthy again: no faults, and everything behaves as it did at the start. */
  heal(): Promise<void>;
  /** As if every host had been removed, and every registration token: nobody is registered any more. */
  forget(): void;
  /** Somebody registered with this key before. */
  know(hostKey: string): void;
  /** One image, or several that alternate from request to request. */
  setRequiredImage(...images: readonly string[]): void;
  /** Closes the port: connections are refused until `resume`. */
  pause(): Promise<void>;
  resume(): Promise<void>;
  close(): Promise<void>;
}

/** Agents hold connections on which they send nothing for as long as a test runs. */
const idle = { headersTimeout: 0, requestTimeout: 0, handshakeTimeout: 3_600_000 };

interface ActiveFault {
  readonly endpoint: Endpoint | 'any';
  readonly fault: Fault;
  left: number;
  after: number;
}

/** Starts a Rancher server as far as an agent's entrypoint can see (control-plane §9). */
export async function startStubServer(options: StubOptions = {}): Promise<StubServer> {
  const {
    host = '127.0.0.1',
    port = 0,
    tls,
    registrationTokenText,
    agents = [],
    account,
    onRequest,
    ...changes
  } = options;
  const state: StubState = {
    behaviour: createBehaviour(changes),
    token: registrationTokenText ?? 'C0FFEE5EED0FA57AB1E5:1451606400000:StubSignatureOfTheToken',
    registrations: [],
    agents: [...agents],
    account,
    events: [],
    registrationTokenPolls: undefined,
    bootstrapCount: 0,
    nextId: 1,
  };
  const requests: RecordedRequest[] = [];
  const remember = (request: RecordedRequest): void => {
    requests.push(request);
    onRequest?.(request);
  };
  const faults: ActiveFault[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    handle(state, faults, remember, request, response).catch((error: unknown) => {
      response.destroy(error instanceof Error ? error : undefined);
    });
  };
  const server =
    tls === undefined ? createHttpServer(idle, listener) : createHttpsServer({ ...tls, ...idle }, listener);
  const connections = new StubWebsockets();
  server.on('upgrade', (request, socket: Socket, head) => {
    const response = new ServerResponse(request);
    response.assignSocket(socket);
    const letIn = (): void => {
      response.detachSocket(socket);
      connections.accept(request, socket, head, state.behaviour.connectionMs);
    };
    handle(state, faults, remember, request, response, letIn).catch(() => socket.destroy());
  });
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).on('close', () => sockets.delete(socket));
  });
  const listen = async (at: number): Promise<number> => {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(at, host, () => {
        server.off('error', reject);
        resolve();
      });
    });
    return (server.address() as AddressInfo).port;
  };
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  };
  const boundPort = await listen(port);
  const shownHost = host === '0.0.0.0' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host;
  const url = `${tls === undefined ? 'http' : 'https'}://${shownHost}:${boundPort}`;
  return {
    url,
    port: boundPort,
    registrationUrl: `${url}/v1/scripts/${state.token}`,
    token: state.token,
    behaviour: state.behaviour,
    requests,
    registrations: state.registrations,
    agents: state.agents,
    events: state.events,
    connections,
    requestsTo: (endpoint) => requests.filter((each) => each.endpoint === endpoint),
    fault: (endpoint, fault, { times = Infinity, after = 0 } = {}) => {
      faults.push({ endpoint, fault, left: times, after });
    },
    clearFaults: () => {
      faults.length = 0;
    },
    heal: async () => {
      faults.length = 0;
      Object.assign(state.behaviour, createBehaviour(changes));
      if (!server.listening) await listen(boundPort);
    },
    forget: () => {
      state.registrations.length = 0;
      state.agents.length = 0;
      state.registrationTokenPolls = undefined;
    },
    know: (hostKey) => {
      addRegistration(state, hostKey, { state: 'active' });
    },
    setRequiredImage: (...images) => {
      state.behaviour.requiredImages = images;
    },
    pause: stop,
    resume: async () => {
      if (!server.listening) await listen(boundPort);
    },
    close: stop,
  };
}

async function handle(
  state: StubState,
  faults: readonly ActiveFault[],
  remember: (request: RecordedRequest) => void,
  request: IncomingMessage,
  response: ServerResponse,
  letIn?: () => void,
): Promise<void> {
  response.on('error', () => undefined);
  const method = request.method ?? 'GET';
  const url = new URL(`http://stub${(request.url ?? '/').replace(/^https?:\/\/[^/]+/, '')}`);
  const path = url.pathname.replace(/\/{2,}/g, '/');
  const endpoint = nameEndpoint(method, path);
  const body = await readBody(request);
  remember(record(endpoint, method, request, body));
  const fault = takeFault(faults, endpoint);
  if (fault !== undefined && (await inflict(fault, request, response))) return;
  const stubRequest: StubRequest = {
    method,
    path,
    query: url.searchParams,
    body,
    base: baseOf(request),
    clientIp: clientIpOf(request),
    account: authenticate(state, request),
  };
  if (letIn !== undefined && endpoint === 'subscribe' && stubRequest.account === 'agent') {
    letIn();
    return;
  }
  const { status, body: text, type, overMs = 0 } = answer(state, endpoint, stubRequest);
  response.writeHead(status, {
    ...(endpoint === 'interface' ? {} : apiHeaders(state, stubRequest, path)),
    ...(type === undefined ? {} : { 'content-type': type }),
    'content-length': String(Buffer.byteLength(text)),
  });
  await endOver(response, Buffer.from(text), overMs);
}

/** So many parts has a body that is sent slowly. */
const slowParts = 10;

/** Sends the body and closes the answer; a slow one in parts. */
async function endOver(response: ServerResponse, body: Buffer, overMs: number): Promise<void> {
  const size = Math.ceil(body.length / slowParts);
  for (let part = 0; overMs > 0 && part < slowParts - 1 && !response.destroyed; part++) {
    response.write(body.subarray(part * size, (part + 1) * size));
    await delay(overMs / slowParts);
  }
  response.end(overMs > 0 ? body.subarray((slowParts - 1) * size) : body);
}

function record(endpoint: Endpoint, method: string, request: IncomingMessage, body: string): RecordedRequest {
  const { headers } = request;
  return {
    endpoint,
    method,
    url: request.url ?? '/',
    authorization: headers.authorization,
    accept: headers.accept,
    contentType: headers['content-type'],
    userAgent: headers['user-agent'],
    enforceAuthentication: first(headers['x-enforce-authentication']),
    body,
    at: Date.now(),
  };
}

function takeFault(faults: readonly ActiveFault[], endpoint: Endpoint): Fault | undefined {
  const active = faults.find(
    (each) => each.left > 0 && (each.endpoint === endpoint || each.endpoint === 'any'),
  );
  if (active === undefined) return undefined;
  if (active.after > 0) {
    active.after--;
    return undefined;
  }
  active.left--;
  return active.fault;
}

function apiHeaders(
  { behaviour }: StubState,
  { base, account }: StubRequest,
  path: string,
): Record<string, string> {
  const prefix = /^\/(v1|v2-beta)(\/projects\/[^/]+(?=\/))?/.exec(path)?.[0] ?? '/v1';
  return {
    'x-rancher-version': 'v1.6.30-stub',
    ...(behaviour.schemasHeader ? { 'x-api-schemas': `${base}${prefix}/schemas` } : {}),
    ...(account !== undefined && behaviour.accountKindHeader ? { 'x-api-account-kind': account } : {}),
  };
}

/** Who sends a request (control-plane §1.10, §9.3). */
function authenticate(
  { behaviour, token, agents, account }: StubState,
  request: IncomingMessage,
): Account | undefined {
  const { accessKey, secretKey } = readBasic(request.headers.authorization);
  const enforced = first(request.headers['x-enforce-authentication']) === 'true';
  if (accessKey === 'registrationToken' && secretKey === token && behaviour.registrationToken === 'live') {
    return 'registration';
  }
  const known = agents.some((each) => each.accessKey === accessKey && each.secretKey === secretKey);
  const hidden = behaviour.agentsKnownByFallback && enforced;
  if (known && behaviour.agentKeys === 'live' && !hidden) return 'agent';
  if (account?.accessKey === accessKey && account.secretKey === secretKey) return 'admin';
  return behaviour.auth === 'off' && !enforced ? 'admin' : undefined;
}

function readBasic(authorization: string | undefined): AgentKeys {
  const encoded = /^Basic (.+)$/i.exec(authorization ?? '')?.[1] ?? '';
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  return { accessKey: text.slice(0, Math.max(0, colon)), secretKey: text.slice(colon + 1) };
}

/** `X-Forwarded-*` before `Host`, as the server computes its links (control-plane §1.5). */
function baseOf(request: IncomingMessage): string {
  const { headers, socket } = request;
  const scheme = first(headers['x-forwarded-proto']) ?? ('encrypted' in socket ? 'https' : 'http');
  return `${scheme}://${first(headers['x-forwarded-host']) ?? headers.host ?? 'stub'}`;
}

function clientIpOf(request: IncomingMessage): string {
  const forwarded = first(request.headers['x-forwarded-for'])?.split(',')[0]?.trim();
  return forwarded ?? (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}

function first(header: string | string[] | undefined): string | undefined {
  return Array.isArray(header) ? header[0] : header;
}
