import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { HttpRequest, HttpResponse } from '../../../src/control-plane/http/message.ts';
import type { Connection } from '../../../src/control-plane/http/connection.ts';
import { judgeProbe } from '../../../src/control-plane/credentials.ts';
import { loadRegistrationEnvironment } from '../../../src/control-plane/registration/environment.ts';
import { registerHost } from '../../../src/control-plane/registration/registration.ts';
import { parseServerUrl } from '../../../src/control-plane/url.ts';
import { EntrypointError } from '../../../src/support/errors.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { spoiltJson, toJson } from '../../support/faults/spoilt.ts';
import { numRuns, longestCase, seed, expectNothingExecuted, check } from './check.ts';
import { script, answer } from './honest-server.ts';

expectNothingExecuted();

describe('JSON of the server', () => {
  /** A server that answers with these one after the other, then with the last for ever; time passes by sleeping. */
  function connectionTo(answers: readonly (HttpResponse | undefined)[]): Connection {
    let now = 0;
    let asked = 0;
    return {
      limits: defaultLimits,
      log: silentLog,
      secrets: createSecrets(),
      clock: {
        now: () => now,
        elapsed: () => now,
        random: () => 0.5,
        sleep: (ms) => Promise.resolve(void (now += Math.max(1, ms))),
      },
      client: {
        request: (request: HttpRequest) => {
          const given = answers[Math.min(asked++, answers.length - 1)] ?? answer(script);
          return Promise.resolve({ ...given, url: request.url });
        },
      },
    };
  }

  async function checkAsync<T>(
    cases: fc.Arbitrary<T>,
    work: (value: T) => Promise<Readonly<Record<string, string | undefined>>>,
  ): Promise<void> {
    const property = fc.asyncProperty(cases, async (value) => {
      const begun = performance.now();
      try {
        for (const text of Object.values(await work(value)))
          expect(text ?? 'none').toMatch(/^[^\s\p{Cc}]+$/u);
      } catch (error) {
        if (!(error instanceof EntrypointError)) throw error;
      }
      expect(performance.now() - begun).toBeLessThan(longestCase);
    });
    await fc.assert(property, { numRuns, seed });
  }

  const status = fc.constantFrom(200, 200, 200, 201, 302, 401, 404, 422, 500, 503);

  it('credentials: only the API’s own words say that keys are dead', () => {
    const error = { id: 'x', type: 'error', status: 401, code: 'Unauthorized', message: 'Unauthorized' };
    check(
      fc.tuple(fc.oneof(spoiltJson({ id: 'configContent', type: 'schema' }), spoiltJson(error)), status),
      ([value, code]) => {
        const { state } = judgeProbe(answer(toJson(value), code));
        const isError =
          typeof value === 'object' && value !== null && (value as { type?: unknown }).type === 'error';
        if (state === 'revoked') expect(isError && (code === 401 || code === 404)).toBe(true);
        if (state === 'live') expect(code).toBe(200);
        return state !== 'unknown';
      },
    );
  });

  it('registrations: keys or an error of ours', async () => {
    const register = {
      id: '1go1',
      state: 'active',
      transitioning: 'no',
      created: '2016-08-01T10:00:00Z',
      key: 'k',
      accessKey: 'ACCESS',
      secretKey: 'secret',
      data: { fields: { accessKey: 'ACCESS', secretKey: 'secret' } },
    };
    const one = fc.tuple(
      fc.oneof(
        spoiltJson({
          data: [register, { ...register, id: '1go2', state: 'removing', transitioning: 'yes' }],
        }),
        spoiltJson({ ...register, state: 'activating', transitioning: 'yes' }),
      ),
      status,
    );
    await checkAsync(fc.array(one, { minLength: 1, maxLength: 5 }), async (answers) => {
      const { accessKey, secretKey } = await registerHost(
        connectionTo(answers.map(([value, code]) => answer(toJson(value), code))),
        {
          cattleUrl: 'http://rancher.example:8080/v1',
          credentials: { accessKey: 'registrationToken', secretKey: 'token' },
          hostKey: 'f00d',
        },
      );
      return { accessKey, secretKey };
    });
  });

  it('schemas, environments and tokens: a registration environment or an error of ours', async () => {
    const link = (name: string): string => `http://rancher.example:8080/v1/${name}`;
    const schemas = {
      data: [
        {
          id: 'registrationToken',
          collectionMethods: ['GET'],
          links: { collection: link('registrationtokens') },
        },
        { id: 'project', collectionMethods: ['GET'], links: { collection: link('projects') } },
      ],
    };
    const inside = { data: [{ ...schemas.data[0], collectionMethods: ['GET', 'POST'] }] };
    const projects = { data: [{ id: '1a5', links: { schemas: link('projects/1a5/schemas') } }] };
    const tokens = {
      data: [{ id: '1c9', state: 'active', transitioning: 'no', registrationUrl: link('scripts/T') }],
    };
    const document = fc.oneof(
      spoiltJson(schemas),
      spoiltJson(projects),
      spoiltJson(inside),
      spoiltJson(tokens),
    );
    const walk = fc.tuple(spoiltJson(schemas), spoiltJson(projects), spoiltJson(inside), spoiltJson(tokens));
    const documents = fc.oneof(walk, fc.array(document, { minLength: 1, maxLength: 6 }));
    await checkAsync(documents, async (values) => {
      const answers = [...values.map((value) => answer(toJson(value))), undefined];
      const { cattleUrl, accessKey, secretKey, detectedAgentIp } = await loadRegistrationEnvironment(
        connectionTo(answers),
        {
          server: parseServerUrl('http://rancher.example:8080/v1', 'rancher-1.2'),
          profile: 'rancher-1.2',
        },
      );
      return { cattleUrl, accessKey, secretKey, detectedAgentIp };
    });
  });
});
