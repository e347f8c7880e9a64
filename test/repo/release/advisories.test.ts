import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startOsvServer, type OsvServer, type Planted } from '../../support/images/osv-server.ts';

const root = join(import.meta.dirname, '../../..');
const DAY_MS = 86_400_000;
/** CVSS 3.1, base score 9.8. */
const CRITICAL = 'CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H';

let server: OsvServer;
let folder: string;
/** A bill of materials for amd64, of what the lock files say. */
let sbom: string;
/** What was fetched. */
let file: string;

beforeAll(async () => {
  server = await startOsvServer();
  folder = await mkdtemp(join(tmpdir(), 'rah-advisories-'));
  const listed = await run('scripts/advisories/check', '--list', folder);
  expect(listed, listed.output).toMatchObject({ status: 0 });
  sbom = join(folder, 'sbom-amd64.cdx.json');
  file = join(folder, 'advisories.json');
}, 60_000);
beforeEach(async () => {
  server.planted = [];
  server.knowsOld = ['npm', 'GIT', 'Bitnami', 'Debian:12'];
  server.disturb = () => false;
  server.pageSize = 1000;
  server.queries.length = 0;
  await rm(file, { force: true });
});
afterAll(async () => {
  await server.close();
  await rm(folder, { recursive: true, force: true });
});

interface Ending {
  readonly status: number;
  readonly output: string;
}

async function run(command: string, ...args: readonly string[]): Promise<Ending> {
  return new Promise((resolve) => {
    const child = execFile(command, args, { cwd: root, timeout: 60_000 }, (_, out, err) => {
      resolve({ status: child.exitCode ?? 124, output: out + err });
    });
  });
}

const node = async (script: string, ...args: readonly string[]): Promise<Ending> =>
  run(process.execPath, join('scripts/advisories', script), ...args);
const fetchAll = async (...more: readonly string[]): Promise<Ending> =>
  node('fetch.ts', '--sbom', sbom, '--from', server.address, '--into', file, ...more);
const check = async (...more: readonly string[]): Promise<Ending> =>
  node('check.ts', '--sbom', sbom, '--advisories', file, ...more);

interface Fetched {
  fetched: string;
  answers: { question: { package: { name: string } }; ids: string[] }[];
  records: { id: string }[];
}

/** Has everything answered, and then changes the file. */
async function fetchAndChange(change: (fetched: Fetched) => void): Promise<void> {
  expect(await fetchAll()).toMatchObject({ status: 0 });
  const fetched = JSON.parse(await readFile(file, 'utf8')) as Fetched;
  change(fetched);
  await writeFile(file, JSON.stringify(fetched));
}

function plant(ecosystem: string, name: string, fields: object = {}): Planted {
  const severity = [{ type: 'CVSS_V3', score: CRITICAL }];
  return { ecosystem, name, record: { id: 'CVE-2026-1', summary: 'Made up', severity, ...fields } };
}

// Each runs a few programs: seconds on a busy machine.
describe('the check of known vulnerabilities', { timeout: 60_000 }, () => {
  it('passes where everything was asked and nothing is known', async () => {
    expect(await fetchAll()).toMatchObject({ status: 0 });
    const ending = await check();
    expect(ending, ending.output).toMatchObject({ status: 0 });
    expect(ending.output).toMatch(/^\d\d components, 0 known vulnerabilities, 0 of them stop a release$/m);
  });

  it.each([
    ['Node', 'GIT', 'https://github.com/nodejs/node', /^node 24\.\S+: CVE-2026-1, critical: Made up$/m],
    ['Node, by another database', 'Bitnami', 'node', /^node 24\./m],
    ['OpenSSL inside Node', 'GIT', 'https://github.com/openssl/openssl', /^openssl 3\.\S+: CVE-2026-1/m],
    ['llhttp inside Node', 'GIT', 'https://github.com/nodejs/llhttp', /^llhttp \S+: CVE-2026-1/m],
    ['glibc', 'Debian:12', 'glibc', /^libc6 2\.36\S+: CVE-2026-1/m],
    ['libstdc++', 'Debian:12', 'gcc-12', /^libstdc\+\+6 12\.\S+: CVE-2026-1/m],
    ['a package of npm', 'npm', 'undici', /^undici 8\.\S+: CVE-2026-1/m],
    ['a package of npm with a scope', 'npm', '@pinojs/redact', /^@pinojs\/redact \S+: CVE-2026-1/m],
  ])('fails for one in %s', async (_title, ecosystem, name, says) => {
    server.planted = [plant(ecosystem, name)];
    expect(await fetchAll()).toMatchObject({ status: 0 });
    const ending = await check();
    expect(ending, ending.output).toMatchObject({ status: 1 });
    expect(ending.output).toMatch(says);
  });

  it.each([
    ['by a word, high', 'npm', { severity: [], database_specific: { severity: 'HIGH' } }, 1, 'high'],
    [
      'by a word, moderate',
      'npm',
      { severity: [], database_specific: { severity: 'MODERATE' } },
      0,
      'moderate',
    ],
    [
      'by CVSS 4',
      'npm',
      {
        severity: [
          { type: 'CVSS_V4', score: 'CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N' },
        ],
      },
      1,
      'critical',
    ],
    [
      'by CVSS, low',
      'npm',
      { severity: [{ type: 'CVSS_V3', score: 'CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N' }] },
      0,
      'low',
    ],
    ['by nobody', 'npm', { severity: undefined }, 1, 'unknown'],
    [
      'by Debian, unimportant',
      'Debian:12',
      {
        affected: [
          {
            package: { ecosystem: 'Debian:12', name: 'glibc' },
            ecosystem_specific: { urgency: 'unimportant' },
          },
        ],
      },
      0,
      'low',
    ],
  ])('weighs one %s', async (_title, ecosystem, fields, status, severity) => {
    server.planted = [plant(ecosystem, ecosystem === 'npm' ? 'undici' : 'glibc', fields)];
    expect(await fetchAll()).toMatchObject({ status: 0 });
    const ending = await check();
    expect(ending, ending.output).toMatchObject({ status });
    expect(ending.output).toContain(`CVE-2026-1, ${severity}: Made up`);
  });

  it.each([
    ['is moderate', 'CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:L/A:N', 0, 'moderate'],
    ['is critical', CRITICAL, 1, 'critical'],
    ['is not there', undefined, 1, 'unknown'],
  ])(
    'asks another record of it where one says nothing: that one %s',
    async (_title, score, status, severity) => {
      const other = { id: 'CVE-2026-2', severity: [{ type: 'CVSS_V3', score }] };
      server.planted = [
        plant('Debian:12', 'glibc', { id: 'DEBIAN-2', severity: undefined, upstream: ['CVE-2026-2'] }),
        ...(score === undefined ? [] : [{ ecosystem: 'none', name: 'none', record: other }]),
      ];
      expect(await fetchAll()).toMatchObject({ status: 0 });
      const ending = await check();
      expect(ending, ending.output).toMatchObject({ status });
      expect(ending.output).toContain(`DEBIAN-2, ${severity}: Made up`);
    },
  );

  it('does not count one that was withdrawn, and accepts one for a reason that a person gives', async () => {
    server.planted = [plant('npm', 'undici', { withdrawn: '2026-11-28T00:00:00Z' })];
    await fetchAll();
    expect(await check()).toMatchObject({ status: 0 });
    server.planted = [plant('npm', 'undici')];
    await fetchAll();
    expect(await check('--accept', 'CVE-2026-1=')).toMatchObject({ status: 1 });
    expect(await check('--accept', 'CVE-2026-10=not used')).toMatchObject({ status: 1 });
    const ending = await check('--accept', 'CVE-2026-1=not used here');
    expect(ending, ending.output).toMatchObject({ status: 0 });
    expect(ending.output).toContain('(accepted: not used here)');
  });
});

describe('no answer is no pass', { timeout: 60_000 }, () => {
  const ago = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();

  it.each([
    ['is older than 7 days', 7.1, 75, 'more than 7 days ago'],
    ['is from the future', -1, 75, 'in the future'],
    ['is 6 days old', 6, 0, '0 of them stop a release'],
  ])('where the file %s', async (_title, days, status, says) => {
    await fetchAndChange((fetched) => {
      fetched.fetched = ago(days);
    });
    const ending = await check();
    expect(ending, ending.output).toMatchObject({ status });
    expect(ending.output).toContain(says);
    if (status !== 0) expect(ending.output).toContain('run scripts/advisories/fetch');
  });

  it.each([
    ['is not there', undefined],
    ['is empty', ''],
    ['is something else', '{"vulns":[]}'],
    ['is cut off', '{"source":"x","fetched":"2026-'],
  ])('where the file %s', async (_title, text) => {
    if (text !== undefined) await writeFile(file, text);
    const ending = await check();
    expect(ending, ending.output).toMatchObject({ status: 75 });
    expect(ending.output).toContain('run scripts/advisories/fetch');
  });

  it.each([
    ['Node', 'https://github.com/nodejs/node', 'node 24.'],
    ['OpenSSL', 'https://github.com/openssl/openssl', 'openssl 3.'],
    ['glibc', 'glibc', 'libc6 2.36'],
    ['a package of npm', 'valibot', 'valibot 1.'],
  ])('where nobody was asked about %s', async (_title, name, says) => {
    await fetchAndChange((fetched) => {
      fetched.answers = fetched.answers.filter(({ question }) => question.package.name !== name);
    });
    const ending = await check();
    expect(ending, ending.output).toMatchObject({ status: 75 });
    expect(ending.output).toContain(`nobody was asked about ${says}`);
  });

  it('where an answer names a vulnerability of which nothing is said', async () => {
    server.planted = [plant('npm', 'undici')];
    await fetchAndChange((fetched) => {
      fetched.records = [];
    });
    expect(await check()).toMatchObject({ status: 75 });
  });

  it('where a component has no name that a database knows', async () => {
    await fetchAll();
    const text = await readFile(sbom, 'utf8');
    const other = join(folder, 'other.json');
    await writeFile(other, text.replaceAll('pkg:npm/valibot@', 'pkg:other/valibot@'));
    const ending = await node('check.ts', '--sbom', other, '--advisories', file);
    expect(ending, ending.output).toMatchObject({ status: 75 });
    expect(ending.output).toContain('nobody was asked about valibot');
  });

  it('but what is known stops a release all the same', async () => {
    server.planted = [plant('npm', 'undici')];
    await fetchAndChange((fetched) => {
      fetched.answers = fetched.answers.filter(({ question }) => question.package.name !== 'valibot');
    });
    expect(await check()).toMatchObject({ status: 1 });
  });

  it('and a bill of materials that cannot be read is none', async () => {
    await fetchAll();
    const ending = await node('check.ts', '--sbom', join(folder, 'none.json'), '--advisories', file);
    expect(ending, ending.output).toMatchObject({ status: 70 });
  });
});

describe('fetching', { timeout: 60_000 }, () => {
  it('asks once about each component, in the words of the database', async () => {
    expect(await fetchAll()).toMatchObject({ status: 0 });
    const asked = server.queries.map((query) => JSON.stringify(query));
    expect(new Set(asked).size).toBe(asked.length);
    const glibc = { version: '2.36-9+deb12u14', package: { ecosystem: 'Debian:12', name: 'glibc' } };
    const { openssl } = process.versions;
    const inNode = { ecosystem: 'GIT', name: 'https://github.com/openssl/openssl' };
    expect(server.queries).toContainEqual({ version: `openssl-${openssl}`, package: inNode });
    expect(server.queries.map((query) => query.package)).toContainEqual(glibc.package);
  });

  it('takes answers in parts', async () => {
    server.pageSize = 1;
    server.planted = [1, 2, 3].map((number) =>
      plant('npm', 'valibot', {
        id: `CVE-2026-${number}`,
        severity: [],
        database_specific: { severity: 'LOW' },
      }),
    );
    expect(await fetchAll()).toMatchObject({ status: 0 });
    expect((await check()).output).toContain(', 3 known vulnerabilities, 0 of them');
  });

  it.each(['npm', 'GIT', 'Bitnami', 'Debian:12'])(
    'takes no silence of a database that does not know old vulnerabilities either: %s',
    async (ecosystem) => {
      server.knowsOld = server.knowsOld.filter((it) => it !== ecosystem);
      const ending = await fetchAll();
      expect(ending, ending.output).toMatchObject({ status: 75 });
      expect(ending.output).toContain(`(${ecosystem}), which has some`);
    },
  );

  it('gives up on an answer without an end', async () => {
    server.pageSize = 0;
    server.planted = [plant('npm', 'undici')];
    const ending = await fetchAll();
    expect(ending, ending.output).toMatchObject({ status: 75 });
    expect(ending.output).toContain('more than 50 parts');
  });

  it.each<[string, OsvServer['disturb']]>([
    ['an error', (_, response) => reply(response, 500, '')],
    ['what is not JSON', (_, response) => reply(response, 200, '<html>')],
    ['fewer answers than questions', (_, response) => reply(response, 200, '{"results":[]}')],
    ['a redirection', (_, response) => reply(response, 302, '', { location: 'http://127.0.0.1:9/' })],
    [
      'another record than the one that was asked for',
      ({ method }, response) => method === 'GET' && reply(response, 200, '{"id":"CVE-1"}'),
    ],
    ['no record', ({ method }, response) => method === 'GET' && reply(response, 404, '')],
  ])('leaves the file as it was if the server gives %s', async (_title, disturb) => {
    await writeFile(file, 'the one before');
    server.planted = [plant('npm', 'undici')];
    server.disturb = disturb;
    const ending = await fetchAll();
    expect(ending, ending.output).toMatchObject({ status: 75 });
    expect(ending.output).toContain('no answer from http://127.0.0.1:');
    expect(await readFile(file, 'utf8')).toBe('the one before');
  });

  it('and the check work by the commands that a person types, for both architectures', async () => {
    const fetched = await run('scripts/advisories/fetch', '--from', server.address, '--into', file);
    expect(fetched, fetched.output).toMatchObject({ status: 0 });
    const checked = await run('scripts/advisories/check', '--advisories', file);
    expect(checked, checked.output).toMatchObject({ status: 0 });
    const versions = server.queries
      .filter(({ package: of, version }) => of.name === 'node' && version !== '18.0.0')
      .map(({ version }) => version);
    const { packages } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Readonly<Record<string, { readonly version: string }>>;
    };
    const pinned = ['x64', 'arm64'].map((arch) => packages[`node_modules/node-linux-${arch}`]?.version);
    expect(versions.sort()).toEqual([...new Set(pinned)].sort());
    expect(await run('scripts/advisories/check', '--accept', 'CVE-2026-1')).toMatchObject({ status: 64 });
  });
});

function reply(
  response: Parameters<OsvServer['disturb']>[1],
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): boolean {
  response.writeHead(status, headers).end(text);
  return true;
}
