import { execFile } from 'node:child_process';
import { appendFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeOrigin } from '../../support/images/checkout.ts';
import { startOsvServer, type OsvServer } from '../../support/images/osv-server.ts';

const root = join(import.meta.dirname, '../../..');

/** A registry that knows of no vulnerability, or gives no answer. */
let server: Server;
/** A database of vulnerabilities. */
let osv: OsvServer;
let answers: boolean;
let folder: string;
let start: string;
const base = `rancher/agent@sha256:${'1'.repeat(64)}`;

beforeAll(async () => {
  server = createServer((request, response) => {
    request.resume();
    response.writeHead(answers ? 200 : 405, { 'content-type': 'application/json' }).end(answers ? '{}' : '');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  folder = await mkdtemp(join(tmpdir(), 'rah-release-'));
  await makeOrigin(checkout());
  await symlink(join(root, 'node_modules'), join(checkout(), 'node_modules'));
  await appendFile(join(checkout(), '.git/info/exclude'), 'node_modules\n');
  osv = await startOsvServer();
  await askOsv();
  await cp(join(checkout(), '.cache/advisories.json'), join(folder, 'advisories.json'));
  start = (await run('git', 'rev-parse', 'HEAD')).output.trim();
}, 60_000);
beforeEach(async () => {
  answers = true;
  osv.planted = [];
  await cp(join(folder, 'advisories.json'), join(checkout(), '.cache/advisories.json'));
  await run('git', 'reset', '--quiet', '--hard', start);
  for (const tag of (await run('git', 'tag')).output.split('\n').filter(Boolean))
    await run('git', 'tag', '-d', tag);
  await write(
    'CHANGELOG.md',
    '# Changes\n\n## [Unreleased]\n\n- A change.\n\n## [0.0.1] - 2020-01-01\n\n- The first.\n',
  );
  await write(
    'package.json',
    (await read('package.json')).replace(/"version": "[^"]*"/, '"version": "0.1.0"'),
  );
  await run('git', 'commit', '--quiet', '--all', '--message', 'To be released');
});
afterAll(async () => {
  server.close();
  await osv.close();
  await rm(folder, { recursive: true, force: true });
});

/** Has the file of known vulnerabilities written again. */
async function askOsv(): Promise<void> {
  const asked = await run('scripts/advisories/fetch', '--from', osv.address);
  expect(asked, asked.output).toMatchObject({ status: 0 });
}

const checkout = (): string => join(folder, 'checkout');
const read = async (file: string): Promise<string> => readFile(join(checkout(), file), 'utf8');
const write = async (file: string, text: string): Promise<void> => writeFile(join(checkout(), file), text);

interface Result {
  readonly status: number;
  readonly output: string;
}

async function run(file: string, ...args: readonly string[]): Promise<Result> {
  const { port } = server.address() as AddressInfo;
  const person = { NAME: 'a person', EMAIL: 'person@localhost' };
  const env = {
    ...process.env,
    ...Object.fromEntries(
      Object.entries(person).flatMap(([key, value]) => [
        [`GIT_AUTHOR_${key}`, value],
        [`GIT_COMMITTER_${key}`, value],
      ]),
    ),
    npm_config_registry: `http://127.0.0.1:${port}/`,
    npm_config_cache: join(folder, 'npm'),
    npm_config_fetch_retries: '0',
  };
  return new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      { cwd: checkout(), env, timeout: 60_000 },
      (_error, stdout, stderr) => {
        resolve({ status: child.exitCode ?? 124, output: stdout + stderr });
      },
    );
  });
}

/** On the base of an example, for one platform: each one takes a second. */
const release = async (...args: readonly string[]): Promise<Result> =>
  run('scripts/release', '--base', base, '--platform', 'linux/amd64', ...args);

// Each case runs git and npm several times: seconds on a busy machine.
describe('a release', { timeout: 60_000 }, () => {
  it('puts the version where it belongs, dates the changes, commits and tags, and leaves nothing behind', async () => {
    const result = await release('0.2.0');
    expect(result, result.output).toMatchObject({ status: 0 });
    expect(JSON.parse(await read('package.json'))).toMatchObject({ version: '0.2.0' });
    const lock = JSON.parse(await read('package-lock.json')) as { packages: Record<string, unknown> };
    expect(lock).toMatchObject({ version: '0.2.0' });
    expect(lock.packages['']).toMatchObject({ version: '0.2.0' });
    expect(await read('CHANGELOG.md')).toMatch(
      /^# Changes\n\n## \[Unreleased\]\n\n## \[0\.2\.0\] - \d{4}-\d\d-\d\d\n\n- A change\.\n\n## \[0\.0\.1\] - /,
    );
    expect((await run('git', 'status', '--porcelain')).output).toBe('');
    expect((await run('git', 'log', '-1', '--format=%s')).output.trim()).toBe('Release 0.2.0');
    expect((await run('git', 'describe', '--exact-match')).output.trim()).toBe('v0.2.0');
    const tag = (await run('git', 'cat-file', 'tag', 'v0.2.0')).output;
    expect(tag).toContain('- A change.');
    expect(tag).not.toContain('- The first.');
    // The same once more is none.
    expect(await release('0.2.0')).toMatchObject({ status: 78 });
  });

  it('may be the first one of the version that is there, or a candidate of the next', async () => {
    expect(await release('0.1.0')).toMatchObject({ status: 0 });
    await write('CHANGELOG.md', '## [Unreleased]\n\n- More.\n');
    await run('git', 'commit', '--quiet', '--all', '--message', 'More');
    expect(await release('0.2.0-rc1')).toMatchObject({ status: 0 });
    expect(JSON.parse(await read('package.json'))).toMatchObject({ version: '0.2.0-rc1' });
  });

  it('can be prepared without a tag, and the same command without --prepare sets it', async () => {
    expect(await release('--prepare', '0.2.0')).toMatchObject({ status: 0 });
    expect((await run('git', 'tag')).output).toBe('');
    expect(await read('CHANGELOG.md')).toContain('## [0.2.0] - ');
    expect(await release('--prepare', '0.2.0')).toMatchObject({ status: 78 });
    const prepared = (await run('git', 'rev-parse', 'HEAD')).output;
    expect(await release('0.2.0')).toMatchObject({ status: 0 });
    expect((await run('git', 'rev-parse', 'HEAD')).output).toBe(prepared);
    expect((await run('git', 'cat-file', 'tag', 'v0.2.0')).output).toContain('- A change.');
  });

  it('that was prepared is refused while there are changes under Unreleased', async () => {
    await release('--prepare', '0.2.0');
    const changes = await read('CHANGELOG.md');
    await write('CHANGELOG.md', changes.replace('## [Unreleased]\n', '## [Unreleased]\n\n- A late one.\n'));
    await run('git', 'commit', '--quiet', '--all', '--message', 'Late');
    expect(await release('0.2.0')).toMatchObject({ status: 78 });
    expect((await run('git', 'tag')).output).toBe('');
  });

  it('goes on without an answer about vulnerabilities only if told so, and the tag says so', async () => {
    answers = false;
    expect(await release('0.2.0')).toMatchObject({ status: 75 });
    expect(await release('--unaudited', '0.2.0')).toMatchObject({ status: 0 });
    const tag = (await run('git', 'cat-file', 'tag', 'v0.2.0')).output;
    expect(tag).toContain('Known vulnerabilities: nobody could say');
  });

  it('is refused without the answers of the database, and says where they come from', async () => {
    await rm(join(checkout(), '.cache/advisories.json'));
    const result = await release('0.2.0');
    expect(result, result.output).toMatchObject({ status: 75 });
    expect(result.output).toContain('run scripts/advisories/fetch');
    expect((await run('git', 'tag')).output).toBe('');
  });

  it('is refused for a vulnerability of Node, unless a person accepts it: then the tag says why', async () => {
    const record = { id: 'CVE-2026-1', database_specific: { severity: 'HIGH' } };
    osv.planted = [{ ecosystem: 'GIT', name: 'https://github.com/nodejs/node', record }];
    await askOsv();
    const result = await release('0.2.0');
    expect(result, result.output).toMatchObject({ status: 1 });
    expect(result.output).toContain('CVE-2026-1, high');
    expect(await release('--unaudited', '0.2.0')).toMatchObject({ status: 1 });
    expect(await release('--accept', 'CVE-2026-1=not used', '0.2.0')).toMatchObject({ status: 0 });
    const tag = (await run('git', 'cat-file', 'tag', 'v0.2.0')).output;
    expect(tag).toContain('Accepted vulnerability: CVE-2026-1=not used');
  });

  it('names its base by digest, and the tag says it', async () => {
    const plain = async (...args: readonly string[]): Promise<Result> => run('scripts/release', ...args);
    for (const args of [[], ['--base', 'rancher/agent:v1.2.11'], ['--base', 'rancher/agent@sha256:12']])
      expect(await plain(...args, '0.2.0'), args.join(' ')).toMatchObject({ status: 64 });
    expect((await run('git', 'tag')).output).toBe('');
    expect(await release('0.2.0')).toMatchObject({ status: 0 });
    const tag = (await run('git', 'cat-file', 'tag', 'v0.2.0')).output;
    expect(tag).toContain(`\n\nBase: ${base}\nPlatform: linux/amd64`);
  });

  it.each([
    ['no version', [], 64, async () => Promise.resolve()],
    ['one that is none', ['v1'], 64, async () => Promise.resolve()],
    ['an older one', ['0.0.9'], 78, async () => Promise.resolve()],
    ['a candidate of the one that is there', ['0.1.0-rc1'], 78, async () => Promise.resolve()],
    ['changes that are not committed', ['0.2.0'], 78, async () => write('README.md', 'other\n')],
    [
      'nothing to tell',
      ['0.2.0'],
      78,
      async () => {
        await write('CHANGELOG.md', '## [Unreleased]\n\n## [0.0.1]\n\n- The first.\n');
        await run('git', 'commit', '--quiet', '--all', '--message', 'Nothing');
      },
    ],
  ])('is refused for %s, and changes nothing', async (_title, args, status, prepare) => {
    await prepare();
    const before = (await run('git', 'rev-parse', 'HEAD')).output;
    expect(await release(...args)).toMatchObject({ status });
    expect((await run('git', 'rev-parse', 'HEAD')).output).toBe(before);
    expect((await run('git', 'tag')).output).toBe('');
  });
});
