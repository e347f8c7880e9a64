import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readRetryAfter } from '../../../../src/control-plane/http/repeat.ts';
import { explainNetworkError } from '../../../../src/control-plane/http/network-reason.ts';
import { InterruptedError, ServerUnavailableError } from '../../../../src/support/errors.ts';
import { certificates } from '../../../support/server/certificates.ts';
import { startStubServer, type Fault, type StubServer } from '../../../support/server/stub/stub-server.ts';
import { createTestConnection, rejectionOf } from '../../../support/server/test-connection.ts';

let stub: StubServer;
beforeAll(async () => {
  stub = await startStubServer({ auth: 'on', agents: [{ accessKey: 'AK', secretKey: 'the-secret-key' }] });
});
afterEach(() => {
  stub.clearFaults();
});
afterAll(async () => {
  await stub.close();
});

const get = (path = '/v1/scripts/bootstrap') => ({ method: 'GET' as const, url: `${stub.url}${path}` });

describe('a request', () => {
  it('asks for JSON, is no browser, and sends its keys', async () => {
    const { client } = createTestConnection();
    const response = await client.request({
      ...get('/v1/schemas/configcontent'),
      credentials: { accessKey: 'AK', secretKey: 'the-secret-key' },
      headers: { 'x-enforce-authentication': 'true' },
    });
    expect(response.status).toBe(200);
    expect(response.headers['x-api-account-kind']).toBe('agent');
    const sent = stub.requests.at(-1);
    expect(sent).toMatchObject({ accept: 'application/json', enforceAuthentication: 'true' });
    expect(sent?.userAgent).toBe('rancher-agent-entrypoint');
    expect(sent?.authorization).toBe(`Basic ${Buffer.from('AK:the-secret-key').toString('base64')}`);
  });

  it('sends no credentials when it has none, and a body as JSON', async () => {
    const { client } = createTestConnection();
    const response = await client.request({
      method: 'POST',
      url: `${stub.url}/v1/register`,
      body: { key: 'k' },
    });
    expect(response.status).toBe(401);
    const sent = stub.requests.at(-1);
    expect(sent?.authorization).toBeUndefined();
    expect(sent?.contentType).toBe('application/json');
    expect(sent?.body).toBe('{"key":"k"}');
  });
});

describe('a server that misbehaves', () => {
  it.each<[Fault, RegExp]>([
    ['reset', /connection reset|closed before/],
    ['hang-accept', /timed out/],
    ['hang-body', /timed out/],
    ['drip', /timed out/],
    ['truncate', /closed before the answer was complete/],
    ['chunks', /not valid HTTP or was cut off/],
    ['endless', /longer than 200000 bytes/],
    [{ slow: 2_000 }, /timed out/],
    ['redirect-elsewhere', /redirects to http:\/\/elsewhere\.invalid\/v1\/schemas, which is not the server/],
    ['redirect-https', /redirects to https:/],
    ['redirect-loop', /in a circle/],
  ])('%j ends in an error in plain words, within the deadline', async (fault, words) => {
    stub.fault('any', fault);
    const { client } = createTestConnection();
    const begun = Date.now();
    const error = await rejectionOf(client.request(get()));
    expect(error).toBeInstanceOf(ServerUnavailableError);
    expect(error.message).toMatch(words);
    expect(Date.now() - begun).toBeLessThan(1_500);
  });

  it('a redirect within the server is followed, with its answer', async () => {
    stub.fault('bootstrap', 'redirect-login', { times: 1 });
    const response = await createTestConnection().client.request(get());
    expect(response.url).toBe(`${stub.url}/login`);
    expect(response.text).toContain('<!DOCTYPE html>');
  });

  it('a write is not repeated elsewhere by a redirect', async () => {
    stub.fault('publish', 'redirect-login', { times: 1 });
    const response = await createTestConnection().client.request({
      method: 'POST',
      url: `${stub.url}/v1/publish`,
      body: {},
    });
    expect(response.status).toBe(302);
  });

  it('refusing connections is told as such', async () => {
    await stub.pause();
    onTestFinished(async () => {
      await stub.resume();
    });
    const error = await rejectionOf(createTestConnection().client.request(get()));
    expect(error.message).toBe(`GET ${stub.url}/v1/scripts/bootstrap: connection refused`);
  });

  it('a name that does not exist is told as such', async () => {
    const { client } = createTestConnection({ limits: { HTTP_TOTAL: 5_000 } });
    const error = await rejectionOf(
      client.request({ method: 'GET', url: 'http://does-not-exist.invalid/v1' }),
    );
    expect(error.message).toMatch(/name not found|could not be looked up|timed out/);
  });

  it('an interruption ends the request with its own reason', async () => {
    stub.fault('any', 'hang-accept');
    const controller = new AbortController();
    const { client } = createTestConnection({ signal: controller.signal });
    const pending = rejectionOf(client.request(get()));
    controller.abort(new InterruptedError('SIGTERM'));
    expect(await pending).toBeInstanceOf(InterruptedError);
  });

  it('no error or log line shows a token or key', async () => {
    stub.fault('any', 'reset', { times: 10 });
    const { client, lines } = createTestConnection();
    const error = await rejectionOf(
      client.request({
        method: 'GET',
        url: `${stub.url}/v1/scripts/THETOKEN?key=HOSTKEY`,
        credentials: { accessKey: 'AK', secretKey: 'the-secret-key' },
        repeat: true,
      }),
    );
    const told = `${error.message}\n${lines.join('')}`;
    expect(lines.length).toBeGreaterThan(0);
    for (const secret of ['THETOKEN', 'HOSTKEY', 'the-secret-key']) expect(told).not.toContain(secret);
  });
});

describe('repeating', () => {
  it.each<Fault>([
    'reset',
    { status: 500 },
    { status: 503 },
    { status: 502, body: 'html' },
    { status: 429, body: 'empty' },
  ])('a request that may happen twice outlives %j', async (fault) => {
    stub.fault('bootstrap', fault, { times: 2 });
    const response = await createTestConnection().client.request({ ...get(), repeat: true });
    expect(response.text).toMatch(/^#!\/bin\/bash\n/);
  });

  it('ends after the bound, with the last answer', async () => {
    stub.fault('bootstrap', { status: 503 });
    const before = stub.requests.length;
    const response = await createTestConnection().client.request({ ...get(), repeat: true });
    expect(response.status).toBe(503);
    expect(stub.requests.length - before).toBe(3);
  });

  it('ends with the deadline of the whole, not of each try', async () => {
    stub.fault('bootstrap', { status: 503, retryAfter: '1' }, { times: 1 });
    stub.fault('bootstrap', 'hang-accept');
    const before = stub.requests.length;
    const begun = Date.now();
    const { client } = createTestConnection({ limits: { HTTP_RETRY_PAUSE_MAX: 300 } });
    const error = await rejectionOf(client.request({ ...get(), repeat: true, deadlineMs: 400 }));
    expect(error.message).toContain('timed out');
    expect(Date.now() - begun).toBeLessThan(600);
    expect(stub.requests.length - before).toBe(2);
  });

  it('begins no pause that is longer than what is left', async () => {
    stub.fault('bootstrap', { status: 503, retryAfter: '1' });
    const begun = Date.now();
    const { client } = createTestConnection({ limits: { HTTP_RETRY_PAUSE_MAX: 60_000 } });
    expect((await client.request({ ...get(), repeat: true, deadlineMs: 400 })).status).toBe(503);
    expect(Date.now() - begun).toBeLessThan(300);
  });

  it('goes on to the deadline where that is asked for', async () => {
    stub.fault('bootstrap', 'reset', { times: 8 });
    const before = stub.requests.length;
    const { client } = createTestConnection({ limits: { SERVER_TRIES: 300 } });
    const response = await client.request({
      ...get(),
      repeat: 'until-deadline',
      deadlineMs: 5_000,
    });
    expect(response.status).toBe(200);
    expect(stub.requests.length - before).toBe(9);
  });

  it('never happens unasked, nor after a definite answer', async () => {
    const before = stub.requests.length;
    stub.fault('bootstrap', { status: 503 }, { times: 1 });
    expect((await createTestConnection().client.request(get())).status).toBe(503);
    stub.fault('bootstrap', { status: 501 }, { times: 1 });
    expect((await createTestConnection().client.request({ ...get(), repeat: true })).status).toBe(501);
    expect(stub.requests.length - before).toBe(2);
  });

  it.each([
    ['7', [7_000], '7 s'],
    ['86400', [10_000], 'the bound'],
    ['0', [500], 'the least'],
    ['Thu, 01 Jan 1970 00:00:01 GMT', [500], 'the least, where the clock of this host is ahead'],
  ])(
    'after Retry-After: %s it waits %j ms (%s), and up to a quarter more by chance',
    async (retryAfter, least) => {
      for (const random of [0, 0.5, 1]) {
        const pauses: number[] = [];
        const clock = {
          now: () => 86_400_000,
          elapsed: () => 0,
          random: () => random,
          sleep: (ms: number) => {
            pauses.push(ms);
            return Promise.resolve();
          },
        };
        stub.fault('bootstrap', { status: 503, retryAfter }, { times: 1 });
        const { client } = createTestConnection({
          clock,
          limits: { HTTP_RETRY_PAUSE_MIN: 500, HTTP_RETRY_PAUSE_MAX: 10_000, HTTP_TOTAL: 60_000 },
        });
        await client.request({ ...get(), repeat: true });
        expect(pauses).toEqual(least.map((ms) => Math.round(ms * (1 + random / 4))));
      }
    },
  );

  it('a server that answers Retry-After: 0 for minutes does not use up all tries', async () => {
    let elapsed = 0;
    const clock = {
      now: () => 0,
      elapsed: () => elapsed,
      random: () => 0.5,
      sleep: (ms: number) => {
        elapsed += ms;
        return Promise.resolve();
      },
    };
    stub.fault('bootstrap', { status: 503, retryAfter: '0' }, { times: 60 });
    const { client } = createTestConnection({
      clock,
      limits: { HTTP_RETRY_PAUSE_MIN: 500, HTTP_RETRY_PAUSE_MAX: 10_000, SERVER_TRIES: 300 },
    });
    const response = await client.request({ ...get(), repeat: 'until-deadline', deadlineMs: 600_000 });
    expect(response.status).toBe(200);
    expect(elapsed).toBeGreaterThan(240_000);
  });

  it('a Retry-After that is a date counts from the date of the answer, not from the clock of this host', () => {
    const headers = { date: 'Thu, 01 Jan 1970 01:00:00 GMT', 'retry-after': 'Thu, 01 Jan 1970 01:00:20 GMT' };
    expect(readRetryAfter({ headers }, 10_000_000_000)).toBe(20_000);
    expect(readRetryAfter({ headers }, 0)).toBe(20_000);
  });

  it.each([
    ['120', 120_000],
    ['Thu, 01 Jan 1970 00:00:30 GMT', 20_000],
    ['Thu, 01 Jan 1970 00:00:01 GMT', 0],
    ['-5', undefined],
    ['soon', undefined],
    ['', undefined],
  ])('Retry-After %j at 10 s is %s ms', (text, ms) => {
    expect(readRetryAfter({ headers: { 'retry-after': text } }, 10_000)).toBe(ms);
  });
});

describe('TLS', () => {
  const tlsCases: [string, { cert: string; key: string }, readonly string[], RegExp | undefined][] = [
    ['a certificate of a trusted authority', certificates.server, [certificates.authority], undefined],
    ['one of an unknown authority', certificates.server, [], /unknown authority/],
    ['one of another authority', certificates.server, [certificates.stranger], /unknown authority/],
    ['one for another host name', certificates.otherName, [certificates.authority], /for another host name/],
    ['an expired one', certificates.expired, [certificates.authority], /has expired/],
  ];

  it.each(tlsCases)('%s', async (_name, tls, ca, words) => {
    const secure = await startStubServer({ tls });
    onTestFinished(() => secure.close());
    const { client } = createTestConnection({ trust: { ca }, limits: { HTTP_TOTAL: 5_000 } });
    const request = client.request({ method: 'GET', url: `${secure.url}/v1` });
    if (words === undefined) expect((await request).status).toBe(200);
    else expect((await rejectionOf(request)).message).toMatch(words);
  });

  it('on a port that speaks plain http is told as such', async () => {
    const { client } = createTestConnection({ limits: { HTTP_TOTAL: 5_000 } });
    const error = await rejectionOf(
      client.request({ method: 'GET', url: stub.url.replace('http:', 'https:') }),
    );
    expect(error.message).toMatch(/does the server speak https/);
  });
});

describe('the reason of a failure', () => {
  it('names the proxy that was in between, without its password', async () => {
    const environment = { http_proxy: 'http://me:the-proxy-password@127.0.0.1:9' };
    const { client } = createTestConnection({ environment, limits: { HTTP_TOTAL: 5_000 } });
    const error = await rejectionOf(client.request(get()));
    expect(error.message).toContain('connection refused, by way of the proxy http://127.0.0.1:9');
    expect(explainNetworkError(error.cause).kind).toBe('unreachable');
    expect(error.message).not.toContain('the-proxy-password');
  });

  it('is found behind causes and aggregates', () => {
    const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
    expect(
      explainNetworkError(new Error('fetch failed', { cause: new AggregateError([refused]) })).text,
    ).toBe('connection refused');
  });

  it('is the message itself when nothing better is known, and endless causes end', () => {
    const loop = new Error('odd');
    loop.cause = loop;
    expect(explainNetworkError(loop)).toEqual({ kind: 'other', text: 'odd' });
    expect(explainNetworkError('text')).toEqual({ kind: 'other', text: 'text' });
  });
});
