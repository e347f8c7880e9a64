import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigurationError, ServerUnavailableError } from '../../../../src/support/errors.ts';
import { certificates } from '../../../support/server/certificates.ts';
import { startStubServer } from '../../../support/server/stub/stub-server.ts';
import { createTestConnection, rejectionOf } from '../../../support/server/test-connection.ts';
import { profile, loadFrom, start, expectNothingExecuted } from './environment-stage.ts';

expectNothingExecuted();

describe('waiting for the server', () => {
  it('refuse: a server that comes up meanwhile is found', async () => {
    const stub = await start();
    await stub.pause();
    setTimeout(() => void stub.resume(), 60);
    const connection = createTestConnection({ limits: { SERVER_TRIES: 300 } });
    await loadFrom(connection, { url: stub.registrationUrl, profile });
    expect(connection.lines.filter((line) => line.includes('connection refused'))).toHaveLength(1);
  });

  it('says each new reason once, and gives up after the bound', async () => {
    const stub = await start();
    stub.fault('script', { status: 503 }, { times: 2 });
    stub.fault('script', { status: 502, body: 'html' }, { times: 5 });
    const connection = createTestConnection({ limits: { SERVER_TRIES: 5 } });
    const error = await rejectionOf(loadFrom(connection, { url: stub.registrationUrl, profile }));
    expect(error.message).toMatch(/^could not reach .*\/scripts\/\*\*\* \(status 502\); giving up$/);
    expect(stub.requests).toHaveLength(5);
    expect(connection.lines.filter((line) => line.includes('not accessible'))).toHaveLength(2);
    expect(connection.lines.join('')).not.toContain(stub.token);
  });

  it('ends in time when the server accepts and says nothing', async () => {
    const stub = await start();
    stub.fault('script', 'hang-accept');
    const begun = Date.now();
    const error = await rejectionOf(
      loadFrom(createTestConnection({ limits: { SERVER_TOTAL: 500, SERVER_TRIES: 300 } }), {
        url: stub.registrationUrl,
        profile,
      }),
    );
    expect(error.message).toContain('timed out');
    expect(Date.now() - begun).toBeLessThan(1_500);
  });

  it.each([['signed by an unknown authority', certificates.server, /CA_FINGERPRINT|ca\.crt/]] as const)(
    'a certificate that is %s is told at once',
    async (words, tls, hint) => {
      const stub = await start({ tls });
      const begun = Date.now();
      const error = await rejectionOf(
        loadFrom(createTestConnection({ limits: { HTTP_TOTAL: 5_000 } }), {
          url: stub.registrationUrl,
          profile,
        }),
      );
      expect(error).toBeInstanceOf(ServerUnavailableError);
      expect(error.message).toContain(words);
      expect(error).toMatchObject({ hint: expect.stringMatching(hint) as string });
      expect(Date.now() - begun).toBeLessThan(2_500);
      expect(stub.requests).toEqual([]);
    },
  );

  it.each([
    ['https of the same host', { redirect: 'https://127.0.0.1:9/v1' }, 'use https://127.0.0.1:9 in the URL'],
    ['another host', { redirect: 'http://elsewhere.invalid/v1' }, 'use its address in the URL'],
  ])('a redirect to %s is final at once, and says which address to use', async (_where, fault, hint) => {
    const stub = await start();
    stub.fault('script', fault);
    const connection = createTestConnection();
    const error = await rejectionOf(loadFrom(connection, { url: stub.registrationUrl, profile }));
    expect(error).toBeInstanceOf(ServerUnavailableError);
    expect(error.message).toMatch(/redirects to http.* which is not the server that was asked$/);
    expect(error.message).not.toContain(stub.token);
    expect(error).toMatchObject({ hint: expect.stringContaining(hint) as string });
    expect(stub.requests).toHaveLength(1);
    expect(connection.lines).toEqual([]);
  });

  it('a redirect from https to http is refused, with what to set at the proxy', async () => {
    const stub = await startStubServer({ tls: certificates.server });
    onTestFinished(() => stub.close());
    const plain = await start();
    stub.fault('script', { redirect: plain.registrationUrl });
    const error = await rejectionOf(
      loadFrom(
        createTestConnection({ trust: { ca: [certificates.authority] }, limits: { HTTP_TOTAL: 5_000 } }),
        { url: stub.registrationUrl, profile },
      ),
    );
    expect(error).toMatchObject({
      hint: expect.stringMatching(/X-Forwarded-Proto.*CATTLE_URL_OVERRIDE/) as string,
    });
    expect(plain.requests).toEqual([]);
  });

  it.each(['html', 'empty'] as const)('a 404 of a proxy (%s) is not the word of the server', async (body) => {
    const stub = await start();
    stub.fault('script', { status: 404, body }, { times: 2 });
    const environment = await loadFrom(createTestConnection(), {
      url: stub.registrationUrl,
      profile,
    });
    expect(environment.secretKey).toBe(stub.token);
  });
});

describe('a base URL that leads nowhere', () => {
  it.each([
    ['a captive portal', { fault: 'html200' }, /is not a Rancher API: .* web page/],
    ['one with the header', { fault: 'html200-with-schemas' }, /web page/],
  ] as const)('%s', async (_name, { fault }, words) => {
    const stub = await start();
    stub.fault('any', fault);
    const error = await rejectionOf(loadFrom(createTestConnection(), { url: stub.url, profile }));
    expect(error).toBeInstanceOf(ServerUnavailableError);
    expect(error.message).toMatch(words);
  });

  it('a server without default environment', async () => {
    const stub = await start({ defaultProject: false });
    const error = await rejectionOf(loadFrom(createTestConnection(), { url: stub.url, profile }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toContain('no default environment');
  });

  it('a registration token that never becomes active', async () => {
    const stub = await start({ polls: 1_000_000 });
    const error = await rejectionOf(
      loadFrom(createTestConnection({ limits: { RESOLVE_TOTAL: 60 } }), {
        url: stub.url,
        profile,
      }),
    );
    expect(error.message).toMatch(/not active after 60 ms \(state: registering\)/);
  });

  it('whatever JSON answers, there is an answer or one of our errors', async () => {
    const stub = await start();
    await fc.assert(
      fc.asyncProperty(
        fc.json(),
        fc.constantFrom('root', 'schemas', 'registration-tokens'),
        async (text, endpoint) => {
          stub.clearFaults();
          stub.fault(endpoint, { text, contentType: 'application/json' });
          const error = await rejectionOf(
            loadFrom(createTestConnection({ limits: { RESOLVE_TOTAL: 20 } }), {
              url: stub.url,
              profile,
            }).then(() => Promise.reject(new ServerUnavailableError('it worked'))),
          );
          expect([ServerUnavailableError, ConfigurationError]).toContain(error.constructor);
        },
      ),
      { numRuns: 60 },
    );
  });
});
