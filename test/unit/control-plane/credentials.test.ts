import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { checkCredentials, judgeProbe, judgeRefusal } from '../../../src/control-plane/credentials.ts';
import { InterruptedError } from '../../../src/support/errors.ts';
import { startStubServer, type StubOptions } from '../../support/server/stub/stub-server.ts';
import { createTestConnection, rejectionOf } from '../../support/server/test-connection.ts';

const keys = { accessKey: 'AGENTKEY', secretKey: 'agent-secret-key' };

async function start(options: StubOptions = {}) {
  const stub = await startStubServer({ agents: [keys], ...options });
  onTestFinished(() => stub.close());
  const check = async () =>
    await checkCredentials(createTestConnection().client, { cattleUrl: `${stub.url}/v1`, keys });
  return { stub, check };
}

describe.each(['on', 'off'] as const)('the keys of an agent, access control %s', (auth) => {
  it('are live while the host is registered, and one request tells', async () => {
    const { stub, check } = await start({ auth });
    expect(await check()).toEqual({ state: 'live' });
    expect(stub.requests.map(({ endpoint }) => endpoint)).toEqual(['configcontent-schema']);
  });

  it('agentkey=revoked: are revoked when the host was removed, on any server', async () => {
    for (const accountKindHeader of [true, false]) {
      const { check } = await start({ auth, agentKeys: 'revoked', accountKindHeader });
      expect(await check()).toMatchObject({
        state: 'revoked',
        // With access control off the second question is asked as admin, who has no such schema.
        reason: expect.stringContaining(auth === 'on' ? '401' : '404') as string,
      });
    }
  });
});

describe('PastureStack without access control', () => {
  it('may know its agents only through the fallback', async () => {
    const { check } = await start({ agentsKnownByFallback: true });
    expect((await check()).state).toBe('live');
  });
});

describe('nothing is known about the keys when', () => {
  it.each([
    'reset',
    'hang-accept',
    'hang-body',
    'truncate',
    'html200',
    'html200-with-schemas',
    'redirect-login',
    'redirect-https',
    { status: 500 },
    { status: 503, body: 'html' },
    { status: 401, body: 'html' },
    { status: 404, body: 'empty' },
    { status: 404, body: 'html' },
    { status: 403 },
    { text: '{"id":"configContent"', contentType: 'application/json' },
  ] as const)('the server answers %j', async (fault) => {
    const { stub, check } = await start();
    stub.fault('any', fault);
    const state = await check();
    expect(state.state).toBe('unknown');
    expect(JSON.stringify(state)).not.toContain(keys.secretKey);
  });

  it('the server is down', async () => {
    const { stub, check } = await start();
    await stub.pause();
    expect(await check()).toMatchObject({
      state: 'unknown',
      reason: expect.stringContaining('connection refused') as string,
    });
  });

  it('JSON of any other kind comes back', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(200, 401, 404, 500), (text, status) => {
        expect(judgeProbe({ status, text, headers: {} }).state).toBe('unknown');
      }),
    );
  });
});

describe('a refusal of the keys', () => {
  const apart = 30_000;
  const refused = { state: 'revoked' } as const;

  it('counts only when it is repeated some time later', () => {
    const first = judgeRefusal(refused, undefined, 1_000, apart);
    expect(first).toEqual({ since: 1_000, isRevoked: false, countsInMs: apart });
    expect(judgeRefusal(refused, first.since, 1_003, apart)).toMatchObject({ isRevoked: false });
    expect(judgeRefusal(refused, first.since, 30_999, apart)).toEqual({
      since: 1_000,
      isRevoked: false,
      countsInMs: 1,
    });
    expect(judgeRefusal(refused, first.since, 31_000, apart)).toEqual({
      since: 1_000,
      isRevoked: true,
      countsInMs: 0,
    });
  });

  it.each(['live', 'unknown'] as const)('begins anew after an answer that is %s', (state) => {
    const between = judgeRefusal({ state }, 1_000, 20_000, apart);
    expect(between).toMatchObject({ since: undefined, isRevoked: false });
    expect(judgeRefusal(refused, between.since, 40_000, apart)).toMatchObject({ isRevoked: false });
  });

  it('does not count alone, even where no time must pass', () => {
    expect(judgeRefusal(refused, undefined, 5, 0).isRevoked).toBe(false);
    expect(judgeRefusal(refused, 5, 6, 0).isRevoked).toBe(true);
  });
});

it('an interruption is passed on, not taken for an answer', async () => {
  const { stub } = await start();
  stub.fault('any', 'hang-accept');
  const controller = new AbortController();
  const { client } = createTestConnection({ signal: controller.signal });
  const pending = rejectionOf(checkCredentials(client, { cattleUrl: `${stub.url}/v1`, keys }));
  controller.abort(new InterruptedError('SIGTERM'));
  expect(await pending).toBeInstanceOf(InterruptedError);
});
