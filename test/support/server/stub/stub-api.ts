import { makeConfigArchive } from './stub-agent.ts';
import { htmlPage } from './stub-faults.ts';
import type { StubState } from './stub-state.ts';
import {
  collection,
  error,
  json,
  route,
  type Account,
  type StubAnswer,
  type StubRequest,
} from './stub-answer.ts';
import {
  answerToken,
  answerTokens,
  answerRegisterCreate,
  answerRegisterList,
  answerRegisterPoll,
} from './stub-registration.ts';
import { answerBootstrap, answerScript } from './stub-scripts.ts';

export type { Account, StubRequest };

/** The endpoints of control-plane §9.1. Faults are switched for each of them. */
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

function acceptEvent(state: StubState, { body }: StubRequest): StubAnswer {
  const event: unknown = JSON.parse(body);
  state.events.push(event);
  return json(201, { ...(event as Record<string, unknown>), state: 'creating' });
}
