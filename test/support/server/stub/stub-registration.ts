import { errorDocument } from './stub-faults.ts';
import { addRegistration, advance, type StubRegistration, type StubState } from './stub-state.ts';
import { collection, error, json, route, type StubAnswer, type StubRequest } from './stub-answer.ts';

/* How a host registers: registration tokens, and the registrations that they lead to. */

export function answerTokens(state: StubState, request: StubRequest): StubAnswer {
  const { behaviour } = state;
  if (behaviour.tokenExists) state.registrationTokenPolls ??= 0;
  if (request.method === 'GET') {
    const settled = state.registrationTokenPolls !== undefined && state.registrationTokenPolls <= 0;
    return json(200, collection('registrationToken', settled ? [renderToken(state, request)] : []));
  }
  state.registrationTokenPolls = behaviour.polls;
  return json(201, renderToken(state, request));
}

export function answerToken(state: StubState, request: StubRequest): StubAnswer {
  if (state.registrationTokenPolls === undefined) return error(404, 'Not Found');
  if (state.registrationTokenPolls > 0) state.registrationTokenPolls--;
  return json(200, renderToken(state, request));
}

export function renderToken(state: StubState, { base, path }: StubRequest): Record<string, unknown> {
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

export function answerRegisterList(state: StubState, { query, base }: StubRequest): StubAnswer {
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

/** Adds the registrations that an earlier host has left, where the behaviour asks for them. */
export function prepareRegistrations(state: StubState, key: string): void {
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

export function answerRegisterCreate(state: StubState, { body, base }: StubRequest): StubAnswer {
  const key = readKey(body);
  if (key === undefined) {
    return json(422, {
      ...errorDocument(422, 'Missing required field', 'MissingRequired'),
      fieldName: 'key',
    });
  }
  return json(201, renderRegistration(state, addRegistration(state, key), base, false));
}

export function answerRegisterPoll(state: StubState, { path, base }: StubRequest): StubAnswer {
  const registration = state.registrations.find(({ id }) => id === path.split('/').at(-1));
  if (registration === undefined) return error(404, 'Not Found');
  advance(state, registration);
  return json(200, renderRegistration(state, registration, base, false));
}

export function renderRegistration(
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

function readKey(body: string): string | undefined {
  const parsed = JSON.parse(body === '' ? '{}' : body) as Record<string, unknown>;
  return typeof parsed['key'] === 'string' && parsed['key'] !== '' ? parsed['key'] : undefined;
}
