import type { Behaviour } from './stub-behaviour.ts';
import { makeConfigArchive } from './stub-agent.ts';
import { composeWholeBootstrap } from './stub-bootstrap-whole.ts';
import { composeBootstrap } from './stub-bootstrap.ts';
import { errorDocument, htmlPage } from './stub-faults.ts';
import { addRegistration, advance, type StubRegistration, type StubState } from './stub-state.ts';

/** The endpoints of control-plane §9.1, by which faults are switched. */
export const endpointNames = [
  'root',
  'schemas',
  'schema',
  'configcontent-schema',
  'account-schema',
  'projects',
  'registration-tokens',
  'registration-token',
  'script',
  'bootstrap',
  'ca-certificate',
  'register-list',
  'register-create',
  'register-poll',
  'config-content',
  'publish',
  'subscribe',
  'external-events',
  'other',
  'interface',
] as const;
export type Endpoint = (typeof endpointNames)[number];

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

const route = /^\/(v1|v2-beta)(\/projects\/1a5)?(?:\/(.*))?$/;

/** Which endpoint a request is for. */
export function nameEndpoint(method: string, path: string): Endpoint {
  if (path === '/') return 'root';
  const match = route.exec(path);
  if (match === null) return 'interface';
  const rest = (match[3] ?? '').replace(/\/$/, '').toLowerCase();
  if (rest === '') return 'root';
  if (rest === 'register') return method === 'POST' ? 'register-create' : 'register-list';
  return endpoints.find(([pattern]) => pattern.test(rest))?.[1] ?? 'other';
}

const endpoints: readonly (readonly [RegExp, Endpoint])[] = [
  [/^schemas$/, 'schemas'],
  [/^schemas\/configcontents?$/, 'configcontent-schema'],
  [/^schemas\/accounts?$/, 'account-schema'],
  [/^schemas\//, 'schema'],
  [/^projects$/, 'projects'],
  [/^registrationtokens?$/, 'registration-tokens'],
  [/^registrationtokens?\//, 'registration-token'],
  [/^scripts\/bootstrap$/, 'bootstrap'],
  [/^scripts\/ca\.crt$/, 'ca-certificate'],
  [/^scripts\//, 'script'],
  [/^register\//, 'register-poll'],
  [/^configcontent\//, 'config-content'],
  [/^publish$/, 'publish'],
  [/^subscribe$/, 'subscribe'],
  [/^externalhostevents$/, 'external-events'],
];

/** Answers a request as a healthy server would, with the changes that the behaviour asks for. */
export function answer(state: StubState, endpoint: Endpoint, request: StubRequest): StubAnswer {
  if (endpoint === 'interface') return { status: 200, body: htmlPage, type: 'text/html' };
  const open = unauthenticated[endpoint];
  if (open !== undefined) return open(state, request);
  if (request.account === undefined) return error(401, 'Unauthorized');
  return authenticated[endpoint]?.(state, request, request.account) ?? error(404, 'Not Found');
}

type OpenAnswer = (state: StubState, request: StubRequest) => StubAnswer;

/** `Scripts` comes before authentication (control-plane §1.1). */
const unauthenticated: Partial<Record<Endpoint, OpenAnswer>> = {
  script: answerScript,
  bootstrap: answerBootstrap,
  'ca-certificate': ({ behaviour }) =>
    behaviour.caCertificate === undefined
      ? error(404, 'Not Found')
      : { status: 200, body: behaviour.caCertificate, type: 'application/octet-stream' },
};

type Answer = (state: StubState, request: StubRequest, account: Account) => StubAnswer;

const authenticated: Partial<Record<Endpoint, Answer>> = {
  root: (_state, { base }) =>
    json(200, { id: 'v1', type: 'apiVersion', links: { self: `${base}/v1` }, actions: {} }),
  schemas: (_state, request, account) => json(200, collection('schema', listSchemas(request, account))),
  schema: answerSchema,
  'configcontent-schema': answerSchema,
  'account-schema': answerSchema,
  projects: answerProjects,
  'registration-tokens': answerTokens,
  'registration-token': answerToken,
  'register-list': answerRegisterList,
  'register-create': answerRegisterCreate,
  'register-poll': answerRegisterPoll,
  'config-content': answerConfigContent,
  publish: acceptEvent,
  'external-events': (state, request, account) =>
    state.behaviour.externalEvents && request.path.startsWith('/v2-beta') && account === 'agent'
      ? acceptEvent(state, request)
      : error(404, 'Not Found'),
};

const schemaNames: Readonly<Record<Account | 'project', Readonly<Record<string, readonly string[]>>>> = {
  registration: { schema: ['GET'], register: ['GET', 'POST'] },
  agent: {
    schema: ['GET'],
    agent: ['GET'],
    configContent: ['GET'],
    publish: ['POST'],
    subscribe: ['GET', 'POST'],
    containerEvent: ['GET', 'POST'],
  },
  admin: {
    schema: ['GET'],
    account: ['GET', 'POST'],
    project: ['GET', 'POST'],
    registrationToken: ['GET'],
    register: ['GET'],
  },
  project: { schema: ['GET'], registrationToken: ['GET', 'POST'], register: ['GET', 'POST'] },
};

function listSchemas({ base, path }: StubRequest, account: Account): Record<string, unknown>[] {
  const match = route.exec(path);
  const prefix = `${base}/${match?.[1] ?? 'v1'}${match?.[2] ?? ''}`;
  const names = schemaNames[account === 'admin' && match?.[2] !== undefined ? 'project' : account];
  return Object.entries(names).map(([id, collectionMethods]) => ({
    id,
    type: 'schema',
    pluralName: id === 'register' ? id : `${id}s`,
    links: {
      self: `${prefix}/schemas/${id.toLowerCase()}`,
      collection: `${prefix}/${(id === 'register' ? id : `${id}s`).toLowerCase()}`,
    },
    actions: {},
    collectionMethods,
    resourceMethods: ['GET'],
    resourceFields: {},
    resourceActions: {},
    collectionActions: {},
    collectionFilters: {},
  }));
}

function answerSchema(_state: StubState, request: StubRequest, account: Account): StubAnswer {
  const wanted = request.path.split('/').at(-1)?.toLowerCase() ?? '';
  const schema = listSchemas(request, account).find(({ id, pluralName }) =>
    [String(id).toLowerCase(), String(pluralName).toLowerCase()].includes(wanted),
  );
  return schema === undefined ? error(404, 'Not Found') : json(200, schema);
}

function answerProjects({ behaviour }: StubState, { base, path }: StubRequest): StubAnswer {
  const version = route.exec(path)?.[1] ?? 'v1';
  const self = `${base}/${version}/projects/1a5`;
  const project = {
    id: '1a5',
    type: 'project',
    uuid: 'adminProject',
    links: { self, schemas: `${self}/schemas` },
    actions: {},
  };
  return json(200, collection('project', behaviour.defaultProject ? [project] : []));
}

function answerTokens(state: StubState, request: StubRequest): StubAnswer {
  const { behaviour } = state;
  if (behaviour.tokenExists) state.registrationTokenPolls ??= 0;
  if (request.method === 'GET') {
    const settled = state.registrationTokenPolls !== undefined && state.registrationTokenPolls <= 0;
    return json(200, collection('registrationToken', settled ? [renderToken(state, request)] : []));
  }
  state.registrationTokenPolls = behaviour.polls;
  return json(201, renderToken(state, request));
}

function answerToken(state: StubState, request: StubRequest): StubAnswer {
  if (state.registrationTokenPolls === undefined) return error(404, 'Not Found');
  if (state.registrationTokenPolls > 0) state.registrationTokenPolls--;
  return json(200, renderToken(state, request));
}

function renderToken(state: StubState, { base, path }: StubRequest): Record<string, unknown> {
  const match = route.exec(path);
  const prefix = `${base}/${match?.[1] ?? 'v1'}/projects/1a5`;
  const settled = (state.registrationTokenPolls ?? 0) <= 0;
  const { apiHost } = state.behaviour;
  return {
    id: '1c9',
    type: 'registrationToken',
    state: settled ? 'active' : 'registering',
    transitioning: settled ? 'no' : 'yes',
    transitioningMessage: settled ? null : 'In Progress',
    links: { self: `${prefix}/registrationtokens/1c9` },
    actions: {},
    ...(settled
      ? {
          token: state.token,
          registrationUrl:
            apiHost === undefined
              ? `${prefix}/scripts/${state.token}`
              : `${apiHost}/v1/scripts/${state.token}`,
        }
      : {}),
  };
}

function answerScript(state: StubState, { path, base, clientIp }: StubRequest): StubAnswer {
  const { behaviour, token } = state;
  const wanted = decodeURIComponent(path.split('/').at(-1) ?? '');
  if (wanted !== token || behaviour.token === 'bad') return error(404, 'Not Found');
  const version = route.exec(path)?.[1] ?? 'v1';
  const url = behaviour.apiHost === undefined ? `${base}/${version}` : `${behaviour.apiHost}/v1`;
  const script = composeScript(token, url, behaviour.detectedIp ?? clientIp);
  return { status: 200, ...spoilScript(behaviour.script, script) };
}

function composeScript(token: string, url: string, ip: string): string {
  return `#!/bin/sh

export CATTLE_REGISTRATION_ACCESS_KEY="registrationToken"
export CATTLE_REGISTRATION_SECRET_KEY="${token}"
export CATTLE_URL="${url}"
export DETECTED_CATTLE_AGENT_IP="${ip}"
`;
}

/** What a hostile script would do: marks in the container that runs it, and on its host. */
const injected = 'touch /tmp/stub-injected /var/lib/rancher/stub-injected';

function spoilScript(how: Behaviour['script'], script: string): { body: string; type: string } {
  const spoiled: Record<Behaviour['script'], string> = {
    ok: script,
    'sh-in-html': `<html><body>x!/bin/sh\n${script}${injected}\n</body></html>\n`,
    inject: script.replace(/(DETECTED_CATTLE_AGENT_IP=").*"/, `$1$(${injected})\`${injected}\`"`),
    crlf: script.replaceAll('\n', '\r\n'),
    'extra-line': `${script}${injected}\n`,
    'missing-url': script.replace(/export CATTLE_URL=.*\n/, ''),
    truncated: script.slice(0, -20),
  };
  return { body: spoiled[how], type: how === 'sh-in-html' ? 'text/html' : 'text/plain' };
}

function answerBootstrap(state: StubState, { clientIp }: StubRequest): StubAnswer {
  const { behaviour } = state;
  const images = behaviour.requiredImages;
  const image = images[state.bootstrapCount++ % Math.max(1, images.length)] ?? '';
  const compose = behaviour.bootstrapShape === 'short' ? composeBootstrap : composeWholeBootstrap;
  const script = compose(behaviour, image, clientIp);
  const bodies: Record<Behaviour['bootstrap'], string> = {
    ok: script,
    empty: '',
    json: JSON.stringify(errorDocument(500, 'Internal Server Error')),
    html: htmlPage,
    truncated: script.slice(0, Math.floor(script.length / 2)).trimEnd(),
    'no-shebang': script.replace('#!/bin/bash\n', ''),
  };
  const type = behaviour.bootstrap === 'html' ? 'text/html' : 'text/plain';
  return { status: 200, body: bodies[behaviour.bootstrap], type };
}

function answerConfigContent(
  { behaviour }: StubState,
  { method, path }: StubRequest,
  account: Account,
): StubAnswer {
  if (account !== 'agent') return error(404, 'Not Found');
  if (method === 'PUT') return json(200, {});
  const archive = makeConfigArchive(path.split('/').at(-1) ?? '', behaviour.agentRun);
  if (archive === undefined) return error(404, 'Not Found');
  return { status: 200, body: archive, type: 'application/octet-stream', overMs: behaviour.archiveMs };
}

function answerRegisterList(state: StubState, { query, base }: StubRequest): StubAnswer {
  const key = query.get('key') ?? '';
  prepareRegistrations(state, key);
  const listed = state.registrations.filter((each) => each.key === key && each.state !== 'removed');
  return json(
    200,
    collection(
      'register',
      listed.map((each) => renderRegistration(state, each, base, true)),
    ),
  );
}

/** Switches that begin with registrations which somebody else left behind. */
function prepareRegistrations(state: StubState, key: string): void {
  if (state.registrations.some((each) => each.key === key)) return;
  const { register } = state.behaviour;
  if (register === 'removing') addRegistration(state, key, { state: 'removing' });
  if (register === 'duplicate') {
    addRegistration(state, key, { state: 'removing' });
    addRegistration(state, key, {
      id: '1go12',
      state: 'active',
      accessKey: 'LATERACCESSKEY',
      secretKey: 'latersecretkey',
    });
    addRegistration(state, key, { id: '1go9', state: 'active' });
  }
}

function answerRegisterCreate(state: StubState, { body, base }: StubRequest): StubAnswer {
  const key = readKey(body);
  if (key === undefined) {
    return json(422, {
      ...errorDocument(422, 'Missing required field', 'MissingRequired'),
      fieldName: 'key',
    });
  }
  return json(201, renderRegistration(state, addRegistration(state, key), base, false));
}

function answerRegisterPoll(state: StubState, { path, base }: StubRequest): StubAnswer {
  const registration = state.registrations.find(({ id }) => id === path.split('/').at(-1));
  if (registration === undefined) return error(404, 'Not Found');
  advance(state, registration);
  return json(200, renderRegistration(state, registration, base, false));
}

function renderRegistration(
  { behaviour }: StubState,
  { id, key, state, accessKey, secretKey }: StubRegistration,
  base: string,
  withKeys: boolean,
): Record<string, unknown> {
  const moving = state === 'activating' || state === 'removing';
  const failed = state === 'error';
  return {
    id,
    type: 'register',
    links: { self: `${base}/v1/register/${id}` },
    actions: {},
    kind: 'register',
    created: '2016-08-01T10:00:00Z',
    removed: null,
    state: failed ? 'requested' : state,
    transitioning: moving ? 'yes' : failed ? 'error' : 'no',
    transitioningMessage: failed ? 'Stub could not create the agent account' : moving ? 'In Progress' : null,
    ...(withKeys && state === 'active' && behaviour.register !== 'no-keys'
      ? { key, accessKey, secretKey }
      : {}),
  };
}

function acceptEvent(state: StubState, { body }: StubRequest): StubAnswer {
  const event: unknown = JSON.parse(body);
  state.events.push(event);
  return json(201, { ...(event as Record<string, unknown>), state: 'creating' });
}

function readKey(body: string): string | undefined {
  const parsed = JSON.parse(body === '' ? '{}' : body) as Record<string, unknown>;
  return typeof parsed['key'] === 'string' && parsed['key'] !== '' ? parsed['key'] : undefined;
}

function collection(resourceType: string, data: readonly unknown[]): Record<string, unknown> {
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

function json(status: number, body: unknown): StubAnswer {
  // Cattle escapes slashes (control-plane §1.7).
  return {
    status,
    body: JSON.stringify(body).replaceAll('/', '\\/'),
    type: 'application/json; charset=utf-8',
  };
}

function error(status: number, message: string): StubAnswer {
  return json(status, errorDocument(status, message));
}
