/**
 * Whatever comes from the network, the engine or the host's disk: it is read or refused, in time, and nothing of it is
 * executed. Each case begins with something honest and spoils it, so that it gets past the first check.
 */
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { stageScript } from '../../src/agent/run/bootstrap/child.ts';
import { namesOf } from '../../src/agent/identity/roles.ts';
import { selectProfile } from '../../src/agent/identity/profile.ts';
import { parseAgentConf } from '../../src/control-plane/agent-conf.ts';
import { judgeBootstrap } from '../../src/control-plane/bootstrap.ts';
import type { HttpRequest, HttpResponse } from '../../src/control-plane/http/message.ts';
import type { Connection } from '../../src/control-plane/http/connection.ts';
import { judgeProbe } from '../../src/control-plane/credentials.ts';
import { loadRegistrationEnvironment } from '../../src/control-plane/registration/environment.ts';
import { parseRegistrationScript } from '../../src/control-plane/registration/script.ts';
import { registerHost } from '../../src/control-plane/registration/registration.ts';
import { blankRequiredImage, readRequiredImage } from '../../src/control-plane/required-image.ts';
import { describeUrl, parseServerUrl } from '../../src/control-plane/url.ts';
import { readDetails, readImage, readInfo, readSummary } from '../../src/engine/answers.ts';
import { elementsOf } from '../../src/engine/json-elements.ts';
import { skimLimits, summaryShape } from '../../src/engine/json/shapes.ts';
import { parseMountinfo } from '../../src/host/mounts/table.ts';
import { parseStatus } from '../../src/host/files/status.ts';
import { judgeStorage, parseDevicemapper } from '../../src/host/storage.ts';
import { findLeaks } from '../../src/cleanup/leaks.ts';
import { ConfigurationError, EntrypointError } from '../../src/support/errors.ts';
import { defaultLimits } from '../../src/support/limits/limits.ts';
import { silentLog } from '../../src/support/log.ts';
import { createSecrets } from '../../src/support/secrets.ts';
import { composeBootstrap } from '../support/server/stub/stub-bootstrap.ts';
import { createBehaviour } from '../support/server/stub/stub-behaviour.ts';
import { mark, spoilt, spoiltJson, toJson } from '../support/faults/spoilt.ts';

/** Fourteen properties of so many cases each, and one of a tenth. */
const numRuns = Number(process.env['FC_RUNS'] ?? 1_500);
/** A single case that takes longer has met a loop that grows with its input, in ms. */
const longestCase = 500;
const seed = 20_160_801;

afterAll(() => {
  expect(existsSync(mark), 'something was executed').toBe(false);
});

function isList(text: string): boolean {
  try {
    return Array.isArray(JSON.parse(text));
  } catch {
    return false;
  }
}

function timed(work: () => void): void {
  const begun = performance.now();
  work();
  expect(performance.now() - begun).toBeLessThan(longestCase);
}

/** @param property says whether the case was accepted, where there is such a thing: some must be, and some not */
function check<T>(cases: fc.Arbitrary<T>, property: (value: T) => boolean | undefined): void {
  const count = { accepted: 0, refused: 0 };
  const counted = (value: T): void => {
    const accepted = property(value);
    if (accepted !== undefined) count[accepted ? 'accepted' : 'refused']++;
  };
  fc.assert(
    fc.property(cases, (value) => timed(() => counted(value))),
    { numRuns, seed },
  );
  if (count.accepted + count.refused === 0) return;
  expect(Math.min(count.accepted, count.refused), JSON.stringify(count)).toBeGreaterThan(numRuns / 100);
}

const script = `#!/bin/sh

export CATTLE_REGISTRATION_ACCESS_KEY="registrationToken"
export CATTLE_REGISTRATION_SECRET_KEY="C0FFEE:1451606400000:signature"
export CATTLE_URL="http://rancher.example:8080/v1"
export DETECTED_CATTLE_AGENT_IP="10.0.0.1"
`;
const bootstrap = composeBootstrap(createBehaviour(), 'rancher/agent:v1.2.11', '10.0.0.1');
const answer = (text: string, status = 200): HttpResponse => ({
  status,
  text,
  headers: {},
  url: 'http://rancher.example:8080/v1',
});

describe('texts of the server', () => {
  it('registration script', () => {
    check(spoilt(script), (text) => {
      const parsed = parseRegistrationScript(text);
      if (!parsed.ok) return false;
      for (const value of Object.values(parsed.script)) expect(value ?? '').not.toMatch(/[$`"'\\\p{Cc}]/u);
      return true;
    });
  });

  it('bootstrap answer', () => {
    check(spoilt(bootstrap, '{"type":"error"}', '<html></html>'), (text) => {
      const judged = judgeBootstrap(answer(text));
      if (judged.ok) expect(judged.script).toMatch(/^#!\/bin\/bash\n[^\0]*\n$/);
      else expect(judged.reason).toBeTruthy();
      return judged.ok;
    });
  });

  it('a bootstrap script that bash looks at before it is run', async () => {
    const { signal } = new AbortController();
    const property = fc.asyncProperty(spoilt(bootstrap, `touch ${mark}\n`), async (text) => {
      const staged = await stageScript(text.replaceAll('\0', ''), [tmpdir()], defaultLimits, signal);
      await staged.dispose();
      expect(existsSync(mark)).toBe(false);
    });
    await fc.assert(property, { numRuns: Math.ceil(numRuns / 10), seed });
  });

  it('required image in a bootstrap script', () => {
    check(spoilt(bootstrap), (text) => {
      const image = readRequiredImage(text);
      if (image.kind === 'image') expect(image.image).toMatch(/^[a-z0-9][\w.:/@-]*$/i);
      const blanked = blankRequiredImage(text);
      if (blanked.ok) expect(blanked.script).toContain('REQUIRED_IMAGE=\n');
      return blanked.ok && image.kind === 'image';
    });
  });

  it('URLs: a token is never shown', () => {
    check(spoilt('http://rancher.example:8080/v1/projects/1a5/scripts/'), (prefix) => {
      const text = `${prefix}THET0KENOFTHETEST`;
      try {
        parseServerUrl(text, 'rancher-1.2');
      } catch (error) {
        expect(error).toBeInstanceOf(ConfigurationError);
        expect((error as Error).message).not.toContain('THET0KENOFTHETEST');
      }
      if (/\/scripts\/+[^/?#\\]*$/.test(prefix)) expect(describeUrl(text)).not.toContain('THET0KENOFTHETEST');
      return undefined;
    });
  });
});

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

describe('answers of the engine', () => {
  const container = {
    Id: 'a'.repeat(64),
    Names: ['/rancher-agent', '/other/alias'],
    Image: 'rancher/agent:v1',
    Command: '/run.sh inspect-host',
    Created: 1,
    State: 'exited',
    Status: 'Exited (0) 2 hours ago',
    Labels: { 'io.rancher.container.system': 'rancher-agent' },
  };
  const details = {
    Id: container.Id,
    Name: '/rancher-agent',
    Created: '2016-08-01T10:00:00Z',
    Path: '/run.sh',
    Args: ['run'],
    State: { Status: 'running', Running: true, StartedAt: '2016-08-01T10:00:00Z' },
    Config: { Image: 'rancher/agent:v1', Env: ['CATTLE_URL=http://h/v1', 'BARE'], Labels: {} },
    HostConfig: { Binds: ['/a:/b'], RestartPolicy: { Name: 'always' } },
    GraphDriver: { Data: { MergedDir: `/var/lib/docker/overlay2/${'b'.repeat(64)}/merged` } },
  };
  /** An answer that can't be understood may be an error; the engine's adapter turns it into one of ours. */
  const readOrRefuse = (read: () => unknown): boolean => {
    try {
      read();
      return true;
    } catch (error) {
      expect((error as Error).name).toMatch(/^(ValiError|SyntaxError)$/);
      return false;
    }
  };

  it('lists of containers', () => {
    const names = namesOf(selectProfile('rancher-1.2', {}));
    check(spoiltJson([container, { ...container, Names: ['/silly_name'] }]), (value) => {
      const listed = Array.isArray(value) ? value.flatMap((entry) => readSummary(entry) ?? []) : [];
      for (const { id, name } of listed) expect([typeof id, typeof name]).toEqual(['string', 'string']);
      expect(findLeaks(listed, names).length).toBeLessThanOrEqual(listed.length);
      return listed.length > 0;
    });
  });

  it('a list as it arrives, in pieces of any size', async () => {
    const text = fc.oneof(
      spoiltJson([container, { ...container, Names: ['/silly_name'] }]).map(toJson),
      spoilt(JSON.stringify([container, container]), '[]', 'null'),
    );
    const property = fc.asyncProperty(text, fc.array(fc.nat(1_500), { maxLength: 8 }), async (list, cuts) => {
      const bytes = Buffer.from(list.toWellFormed());
      const ends = [...cuts.sort((a, b) => a - b), bytes.length];
      const pieces = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
      const found: unknown[] = [];
      try {
        const limits = { element: 1_000_000, shape: summaryShape, ...skimLimits };
        for await (const { value } of elementsOf(Readable.from(pieces), limits)) found.push(value);
      } catch (error) {
        expect(isList(bytes.toString()), String(error)).toBe(false);
        return;
      }
      if (isList(bytes.toString())) expect(found).toEqual(JSON.parse(bytes.toString()));
    });
    await fc.assert(property, { numRuns, seed });
  });

  it('entries of a list that are too large: what is kept of them is what JSON.parse sees', async () => {
    const entry = spoiltJson([container, { ...container, Names: ['/other/alias', '/silly_name'] }]).map(
      toJson,
    );
    const property = fc.asyncProperty(entry, async (list) => {
      const bytes = Buffer.from(list.toWellFormed());
      const limits = { element: 0, shape: summaryShape, ...skimLimits };
      const found: unknown[] = [];
      try {
        for await (const { value } of elementsOf(Readable.from([bytes]), limits))
          found.push(readSummary(value));
      } catch (error) {
        expect(isList(bytes.toString()), String(error)).toBe(false);
        return;
      }
      if (!isList(bytes.toString())) return;
      const whole = (JSON.parse(bytes.toString()) as unknown[]).map(readSummary);
      for (const [index, summary] of whole.entries()) {
        // Where a field has a wrong type, the whole entry is no container; of a large one that field is left out.
        if (summary === undefined || toJson(summary).length > 1_000) continue;
        const { id, name, state, image, command } = summary;
        expect(found[index]).toMatchObject({ id, name, state, image, command });
      }
    });
    await fc.assert(property, { numRuns, seed });
  });

  it('containers and images', () => {
    const image = { Id: 'sha256:x', RepoTags: ['a:b'], RepoDigests: null, Config: { Labels: { a: 'b' } } };
    check(fc.oneof(spoiltJson(details), spoiltJson(image)), (value) => {
      const isDetails = readOrRefuse(() => readDetails(value));
      return readOrRefuse(() => readImage(value)) || isDetails;
    });
  });

  it('driver status', () => {
    const info = {
      OperatingSystem: 'Debian',
      Driver: 'devicemapper',
      DockerRootDir: '/var/lib/docker',
      DriverStatus: [
        ['Pool Name', 'docker-pool'],
        ['Data Space Used', '39.85 MB'],
        ['Data Space Total', '107.4 GB'],
        ['Metadata Space Used', '1.2e2 MB'],
        ['Metadata Space Available', '1.5GiB'],
        ['Data loop file', '/var/lib/docker/x'],
      ],
    };
    check(
      fc.oneof(
        spoiltJson(info).map((value) => toJson(value)),
        spoilt(JSON.stringify(info)),
      ),
      (text) => {
        return readOrRefuse(() => {
          const devicemapper = parseDevicemapper(readInfo(text).driverStatus);
          const verdict = judgeStorage(
            { driver: 'devicemapper', devicemapper, fileSystem: undefined },
            defaultLimits,
          );
          expect(['ok', 'low']).toContain(verdict.kind);
        });
      },
    );
  });
});

describe('files of the host', () => {
  it('status file', () => {
    const status = {
      version: 2,
      state: 'degraded',
      summary: 'the agent runs',
      since: '2016-08-01T10:00:00.000Z',
      updatedAt: '2016-08-01T10:00:00.000Z',
      command: 'upgrade',
      unremovable: [{ name: 'a', id: 'b', originalMessage: 'c' }],
      entrypointVersion: '0.1.0',
    };
    const texts = fc.oneof(
      spoiltJson(status).map((value) => toJson(value)),
      spoilt(JSON.stringify(status)),
    );
    check(texts, (text) => {
      const reading = parseStatus(text);
      if (reading.kind === 'damaged') expect(reading.reason).toBeTruthy();
      else expect(reading.status.version).toBe(2);
      return reading.kind === 'valid';
    });
  });

  it('agent.conf', () => {
    check(spoilt('# by hand\nexport CURL_CA_BUNDLE=/x/ca.crt\nexport B="two words"\nC=\'$d\'\n'), (text) => {
      const { variables, problems } = parseAgentConf(text);
      for (const [name, value] of Object.entries(variables)) {
        expect(name).toMatch(/^[A-Za-z_]\w*$/);
        expect(value).not.toContain('\0');
      }
      for (const problem of problems) expect(problem).toMatch(/^line \d+ /);
      return problems.length === 0;
    });
  });

  it('mounts of a process', () => {
    check(
      spoilt('36 35 98:0 /mnt1 /mnt\\0402 rw,noatime shared:1 - ext3 /dev/root rw\n'.repeat(3)),
      (text) => {
        for (const { mountPoint } of parseMountinfo(text)) expect(typeof mountPoint).toBe('string');
        return undefined;
      },
    );
  });
});
