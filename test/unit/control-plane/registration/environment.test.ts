import { describe, expect, it } from 'vitest';
import {
  ConfigurationError,
  NotPermittedError,
  ServerUnavailableError,
} from '../../../../src/support/errors.ts';
import { createTestConnection, rejectionOf } from '../../../support/server/test-connection.ts';
import { profile, loadFrom, start, expectNothingExecuted } from './environment-stage.ts';

expectNothingExecuted();

describe('every form of URL leads to the registration environment', () => {
  it.each<[string, (base: string, token: string) => string, number]>([
    ['the registration URL', (base, token) => `${base}/v1/scripts/${token}`, 1],
    ['that of an environment', (base, token) => `${base}/v1/projects/1a5/scripts/${token}`, 1],
    ['that of the newer API', (base, token) => `${base}/v2-beta/projects/1a5/scripts/${token}`, 1],
    ['the bare address', (base) => base, 8],
    ['the API', (base) => `${base}/v1`, 8],
    ['the schemas', (base) => `${base}/v1/schemas`, 8],
    ['the newer API', (base) => `${base}/v2-beta`, 8],
    ['the schemas of an environment', (base) => `${base}/v1/projects/1a5/schemas`, 6],
  ])('%s', async (_name, url, most) => {
    const stub = await start({ polls: 1 });
    const environment = await loadFrom(createTestConnection(), {
      url: url(stub.url, stub.token),
      profile,
    });
    expect(environment.cattleUrl).toMatch(new RegExp(`^${stub.url}/v(1|2-beta)$`));
    expect(environment).toMatchObject({
      accessKey: 'registrationToken',
      secretKey: stub.token,
      // 127.0.0.1, as the server saw it, is no address of an agent.
      detectedAgentIp: undefined,
    });
    expect(stub.requests.length).toBeLessThanOrEqual(most);
  });

  it('an existing registration token is used, not another one made', async () => {
    const stub = await start({ tokenExists: true });
    await loadFrom(createTestConnection(), { url: stub.url, profile });
    expect(stub.requests.filter(({ method }) => method === 'POST')).toEqual([]);
  });

  it('without X-API-Schemas the URL itself is taken for the schemas', async () => {
    const stub = await start({ schemasHeader: false });
    await loadFrom(createTestConnection(), { url: `${stub.url}/v1/schemas`, profile });
    const error = await rejectionOf(loadFrom(createTestConnection(), { url: `${stub.url}/v1`, profile }));
    expect(error.message).toMatch(/load the API schemas: .* JSON of another kind/);
  });

  it('the address that the server saw is kept when an agent can have it', async () => {
    const stub = await start({ detectedIp: '10.1.2.3' });
    const load = async () => await loadFrom(createTestConnection(), { url: stub.registrationUrl, profile });
    expect((await load()).detectedAgentIp).toBe('10.1.2.3');
    for (const detectedIp of ['fd00::1', '10.0.0.1, 10.0.0.2', 'nonsense']) {
      stub.behaviour.detectedIp = detectedIp;
      expect((await load()).detectedAgentIp).toBeUndefined();
    }
  });
});

describe('a registration URL never leads to another environment', () => {
  it('token=bad: an unknown token is told at once, as the mistake it is', async () => {
    const stub = await start({ token: 'bad' });
    const connection = createTestConnection();
    const error = await rejectionOf(loadFrom(connection, { url: stub.registrationUrl, profile }));
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(connection.secrets.scrub(`somewhere else: ${stub.token}`)).toBe('somewhere else: ***');
    expect(error.message).toContain('does not know the registration token');
    expect(error.message).not.toContain(stub.token);
    expect(stub.requests.map(({ endpoint }) => endpoint)).toEqual(['script']);
  });

  it.each([
    'html200',
    'html200-with-schemas',
    'redirect-login',
    { text: '{"type":"collection","data":[]}' },
  ] as const)('%j: whatever else answers is refused', async (fault) => {
    const stub = await start();
    stub.fault('script', fault);
    const error = await rejectionOf(loadFrom(createTestConnection(), { url: stub.registrationUrl, profile }));
    expect(error).toBeInstanceOf(ServerUnavailableError);
    expect(error.message).toContain('does not answer with a registration script');
    expect(stub.requestsTo('schemas')).toEqual([]);
    expect(stub.requestsTo('registration-tokens')).toEqual([]);
  });

  it.each(['sh-in-html', 'inject', 'crlf', 'extra-line', 'missing-url', 'truncated'] as const)(
    'script=%s is refused, and nothing of it runs',
    async (script) => {
      const stub = await start({ script });
      const error = await rejectionOf(
        loadFrom(createTestConnection(), { url: stub.registrationUrl, profile }),
      );
      expect(error).toBeInstanceOf(ServerUnavailableError);
      expect(stub.requests).toHaveLength(1);
    },
  );
});

describe('a server that calls itself otherwise', () => {
  it('apihost=other is refused, unless the operator says which address to use', async () => {
    const stub = await start({ apiHost: 'http://other.example:8080' });
    const load = async (urlOverride?: string) =>
      await loadFrom(createTestConnection(), {
        url: stub.registrationUrl,
        profile,
        urlOverride,
      });
    const error = await rejectionOf(load());
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error.message).toMatch(/^the configured Host Registration URL does not match the given URL/);
    expect((await load('http://mine.example/v1/')).cattleUrl).toBe('http://mine.example/v1');
    expect(await rejectionOf(load('not a url'))).toBeInstanceOf(ConfigurationError);
  });

  it('the newer API is not compared, as upstream', async () => {
    const stub = await start({ apiHost: 'http://other.example:8080' });
    const environment = await loadFrom(createTestConnection(), {
      url: `${stub.url}/v2-beta/scripts/${stub.token}`,
      profile,
    });
    expect(environment.cattleUrl).toBe('http://other.example:8080/v1');
  });

  it('its configured address is followed from the bare address', async () => {
    const other = await start();
    const stub = await start({ tokenExists: true, apiHost: other.url });
    const environment = await loadFrom(createTestConnection(), { url: stub.url, profile });
    expect(environment.cattleUrl).toBe(`${other.url}/v1`);
  });

  it('links to an address we cannot reach are followed where we asked', async () => {
    const stub = await start({ tokenExists: true });
    const page = JSON.stringify({
      type: 'collection',
      data: [
        {
          id: 'registrationToken',
          type: 'schema',
          collectionMethods: ['GET', 'POST'],
          links: { collection: 'http://unreachable.invalid/v1/projects/1a5/registrationtokens' },
        },
      ],
    });
    stub.fault('schemas', { text: page, contentType: 'application/json' });
    await loadFrom(createTestConnection(), { url: stub.url, profile });
    expect(stub.requestsTo('registration-tokens')).toHaveLength(1);
  });
});

describe('a server with access control', () => {
  it('asks for keys: told at once', async () => {
    const stub = await start({ auth: 'on' });
    const error = await rejectionOf(loadFrom(createTestConnection(), { url: stub.url, profile }));
    expect(error).toBeInstanceOf(NotPermittedError);
    expect(error.message).toContain('access control is on');
    expect(stub.requests).toHaveLength(1);
  });

  it('refuses wrong keys, and they are not shown', async () => {
    const stub = await start({ auth: 'on' });
    const connection = createTestConnection();
    const error = await rejectionOf(
      loadFrom(connection, {
        url: stub.url,
        profile,
        credentials: { accessKey: 'WRONG', secretKey: 'wrong-secret-key' },
      }),
    );
    expect(error.message).toContain('refuses CATTLE_ACCESS_KEY');
    expect(error.message + connection.lines.join('')).not.toContain('wrong-secret-key');
  });

  it('needs none for a registration URL, and gets none', async () => {
    const stub = await start({ auth: 'on' });
    await loadFrom(createTestConnection(), {
      url: stub.registrationUrl,
      profile,
      credentials: { accessKey: 'AK', secretKey: 'account-secret-key' },
    });
    expect(stub.requests.map(({ authorization }) => authorization)).toEqual([undefined]);
  });
});
