import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  chooseStep,
  registerHost,
  type Registration,
} from '../../../../src/control-plane/registration/registration.ts';
import { NotPermittedError, ServerUnavailableError } from '../../../../src/support/errors.ts';
import { deriveKeys } from '../../../support/server/stub/stub-state.ts';
import { startStubServer, type StubOptions } from '../../../support/server/stub/stub-server.ts';
import {
  createTestConnection,
  rejectionOf,
  type TestConnectionOptions,
} from '../../../support/server/test-connection.ts';

const hostKey = 'f00d'.repeat(32);

async function start(options: StubOptions = {}) {
  const stub = await startStubServer(options);
  onTestFinished(() => stub.close());
  const register = async (more: TestConnectionOptions = {}, connection = createTestConnection(more)) =>
    await registerHost(connection, {
      cattleUrl: `${stub.url}/v1`,
      credentials: { accessKey: 'registrationToken', secretKey: stub.token },
      hostKey,
    });
  return { stub, register };
}

describe.each(['on', 'off'] as const)('registering a host, access control %s', (auth) => {
  it('lists, creates, polls, and lists again for the keys', async () => {
    const { stub, register } = await start({ auth, polls: 2 });
    expect(await register()).toEqual(deriveKeys(hostKey));
    expect(stub.requests.map(({ endpoint }) => endpoint)).toEqual([
      'register-list',
      'register-create',
      'register-poll',
      'register-poll',
      'register-poll',
      'register-list',
    ]);
    expect(JSON.parse(stub.requestsTo('register-create')[0]?.body ?? '')).toEqual({ key: hostKey });
    expect(stub.requests.every((each) => each.enforceAuthentication === 'true')).toBe(true);
    expect(stub.agents).toEqual([deriveKeys(hostKey)]);
  });

  it('a host that was registered before gets the keys it had', async () => {
    const { stub, register } = await start({ auth });
    const first = await register();
    expect(await register()).toEqual(first);
    expect(stub.registrations).toHaveLength(1);
  });

  it('regtoken=revoked: an invalid registration token is told as such', async () => {
    const { register } = await start({ auth, registrationToken: 'revoked' });
    const error = await rejectionOf(register());
    expect(error).toBeInstanceOf(NotPermittedError);
    expect(error.message).toContain('invalid registration token');
  });
});

describe('a registration that does not go well', () => {
  it('register=slow: polls until it is done', async () => {
    const { stub, register } = await start({ polls: 20 });
    await register();
    expect(stub.requestsTo('register-poll')).toHaveLength(21);
  });

  it('register=never: ends at the bound, with the last state', async () => {
    const { register } = await start({ register: 'never' });
    const begun = Date.now();
    const error = await rejectionOf(register({ limits: { REGISTER_TOTAL: 200 } }));
    expect(error).toBeInstanceOf(ServerUnavailableError);
    expect(error.message).toContain('within 200 ms (state: activating)');
    expect(Date.now() - begun).toBeLessThan(1_000);
  });

  it('register=error: shows the message of the server, once and for later runs', async () => {
    const { stub, register } = await start({ register: 'error' });
    for (let run = 0; run < 2; run++) {
      const error = await rejectionOf(register());
      expect(error).toMatchObject({ originalMessage: 'Stub could not create the agent account' });
      expect(error.message).toContain('Stub could not create the agent account');
    }
    expect(stub.requestsTo('register-create')).toHaveLength(1);
  });

  it('register=removing: makes a new one', async () => {
    const { stub, register } = await start({ register: 'removing' });
    expect(await register()).toEqual(deriveKeys(hostKey));
    expect(stub.registrations.map(({ state }) => state)).toEqual(['removing', 'active']);
  });

  it('register=vanishing: one that is removed while we wait is made anew', async () => {
    const { stub, register } = await start({ register: 'vanishing' });
    expect(await register()).toEqual(deriveKeys(hostKey));
    expect(stub.registrations.map(({ state }) => state)).toEqual(['removed', 'active']);
  });

  it('one that always vanishes is given up', async () => {
    const { stub, register } = await start({ register: 'vanishing' });
    const clock = {
      now: () => 0,
      elapsed: () => 0,
      random: () => 0,
      sleep: () => {
        stub.behaviour.register = 'vanishing';
        return Promise.resolve();
      },
    };
    const error = await rejectionOf(register({ clock }));
    expect(error.message).toContain('the registration is removed');
    expect(stub.requestsTo('register-create')).toHaveLength(5);
  });

  it('register=duplicate: takes the first active one', async () => {
    const { stub, register } = await start({ register: 'duplicate' });
    expect(await register()).toEqual(deriveKeys(hostKey));
    expect(stub.requestsTo('register-create')).toEqual([]);
  });

  it('register=nokeys: is an error, not empty keys', async () => {
    const { register } = await start({ register: 'no-keys' });
    expect((await rejectionOf(register())).message).toContain('reports no keys');
  });

  it.each(['reset', 'truncate', { status: 500 }, { status: 503, body: 'html' }] as const)(
    'a creation answered by %j is looked up, not repeated blindly',
    async (fault) => {
      const { stub, register } = await start();
      stub.fault('register-create', fault, { times: 1 });
      expect(await register()).toEqual(deriveKeys(hostKey));
      expect(stub.requests.map(({ endpoint }) => endpoint).slice(0, 4)).toEqual([
        'register-list',
        'register-create',
        'register-list',
        'register-create',
      ]);
    },
  );

  it.each([
    ['register-list', 'reset'],
    ['register-list', { status: 503 }],
    ['register-poll', 'truncate'],
    ['register-poll', { status: 502, body: 'html' }],
  ] as const)('%s: one %j is outlived', async (endpoint, fault) => {
    const { stub, register } = await start();
    stub.fault(endpoint, fault, { times: 1 });
    expect(await register()).toEqual(deriveKeys(hostKey));
  });

  it('a server that restarts in the middle is waited for', async () => {
    const { stub, register } = await start({ polls: 20 });
    const registered = register({ limits: { REGISTER_TOTAL: 10_000, SERVER_TRIES: 300 } });
    while (stub.requestsTo('register-poll').length === 0) await sleep(5);
    await stub.pause();
    await sleep(300);
    await stub.resume();
    expect(await registered).toEqual(deriveKeys(hostKey));
    expect(stub.requestsTo('register-create')).toHaveLength(1);
  });

  it.each(['html', 'empty'] as const)('a 401 of a proxy (%s) is not the word of the server', async (body) => {
    const { stub, register } = await start();
    stub.fault('register-list', { status: 401, body });
    const error = await rejectionOf(register());
    expect(error).toBeInstanceOf(ServerUnavailableError);
    expect(error.message).toContain('status 401');
  });

  it.each([
    'html200',
    { status: 500, body: 'html' },
    { status: 500, body: 'empty' },
    'redirect-elsewhere',
  ] as const)('a server that answers %j registers nobody', async (fault) => {
    const { stub, register } = await start();
    stub.fault('any', fault);
    expect(await rejectionOf(register())).toBeInstanceOf(ServerUnavailableError);
  });

  it('the keys and the token stand nowhere in log or error', async () => {
    const { stub, register } = await start({ register: 'error' });
    const connection = createTestConnection();
    stub.fault('register-list', 'reset', { times: 1 });
    const error = await rejectionOf(register({}, connection));
    const told = `${error.message}${connection.lines.join('')}`;
    for (const secret of [hostKey, stub.token]) expect(told).not.toContain(secret);
    stub.behaviour.register = 'ok';
    stub.registrations.forEach((each) => (each.state = 'removed'));
    const keys = await register({}, connection);
    expect(connection.secrets.scrub(`${keys.accessKey} ${keys.secretKey} ${hostKey}`)).toBe('*** *** ***');
  });
});

describe('the next step of a registration', () => {
  const entry = (changes: Partial<Registration>): Registration => ({
    id: '1go1',
    state: 'active',
    transitioning: 'no',
    transitioningMessage: null,
    created: '2016-08-01T10:00:00Z',
    accessKey: 'A',
    secretKey: 'S',
    ...changes,
  });
  const moving = entry({
    id: '1go2',
    state: 'activating',
    transitioning: 'yes',
    accessKey: null,
    secretKey: null,
  });

  it.each<[string, Registration[], string]>([
    ['nothing', [], 'create'],
    ['one that is removed', [entry({ state: 'removed' })], 'create'],
    ['one being removed', [entry({ state: 'removing', transitioning: 'yes' })], 'create'],
    ['one being made', [moving], 'poll'],
    [
      'one being made beside one being removed',
      [entry({ state: 'removing', transitioning: 'yes' }), moving],
      'poll',
    ],
    [
      'one being made beside one that failed',
      [entry({ state: 'requested', transitioning: 'error' }), moving],
      'poll',
    ],
    ['an active one beside one being made', [moving, entry({})], 'use'],
    [
      'one that keeps its keys where PastureStack may',
      [entry({ accessKey: null, secretKey: null, data: { fields: { accessKey: 'A', secretKey: 'S' } } })],
      'use',
    ],
    ['an active one without keys', [entry({ secretKey: null })], 'fail'],
    [
      'an active one without keys beside one with',
      [entry({ id: '1go0', secretKey: null }), entry({})],
      'use',
    ],
    ['keys that would be two lines', [entry({ secretKey: 'a\nb' })], 'fail'],
    ['a key with half a character', [entry({ secretKey: 'a\uD800' })], 'fail'],
    ['one that failed', [entry({ state: 'requested', transitioning: 'error' })], 'fail'],
    ['one that stays requested', [entry({ state: 'requested' })], 'fail'],
  ])('for %s is %s', (_name, found, step) => {
    expect(chooseStep(found).step).toBe(step);
  });

  it('does not depend on the order in which the server lists', () => {
    const found = [
      entry({ id: '1go12', accessKey: 'twelve' }),
      entry({ id: '1go9', accessKey: 'nine' }),
      entry({ id: '1go1', created: '2017-01-01T00:00:00Z', accessKey: 'later' }),
      moving,
    ];
    fc.assert(
      fc.property(fc.shuffledSubarray(found, { minLength: 4 }), (order) => {
        expect(chooseStep(order)).toEqual({ step: 'use', keys: { accessKey: 'nine', secretKey: 'S' } });
      }),
    );
  });
});
