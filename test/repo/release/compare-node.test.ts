import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  changeByte,
  makeRuntimeProject,
  nodeText,
  nodeVersion,
  type Ending,
  type RuntimeProject,
} from '../../support/images/runtime-project.ts';

const exec = promisify(execFile);
const archive = `node-v${nodeVersion}-linux-x64`;

/** Keys of the test's own: of one who releases Node, and of somebody else. */
let keys: string;
let project: RuntimeProject;
let dist: string;

beforeAll(async () => {
  keys = await mkdtemp(join(tmpdir(), 'rah-keys-'));
  for (const name of ['releaser', 'other']) {
    const [home, keyring] = [join(keys, name), join(keys, `${name}.gpg`)];
    await mkdir(home, { mode: 0o700 });
    await gpg(name, '--quick-generate-key', `${name}@localhost`, 'ed25519', 'sign', 'never');
    await gpg(name, '--output', keyring, '--export');
    expect(existsSync(home)).toBe(true);
  }
}, 60_000);
beforeEach(async () => {
  project = await makeRuntimeProject();
  dist = join(project.folder, 'dist');
  await publish(nodeText);
}, 60_000);
afterEach(() => project.dispose());
afterAll(async () => {
  for (const name of ['releaser', 'other'])
    await exec('gpgconf', ['--homedir', join(keys, name), '--kill', 'all']).catch(() => undefined);
  await rm(keys, { recursive: true, force: true });
});

async function gpg(name: string, ...args: readonly string[]): Promise<void> {
  const known = ['--homedir', join(keys, name), '--batch', '--quiet', '--pinentry-mode', 'loopback'];
  await exec('gpg', [...known, '--passphrase', '', ...args]);
}

const inDist = (name: string): string => join(dist, `v${nodeVersion}`, name);

/** As the Node.js project does. */
async function publish(text: string, signer = 'releaser', listed = `${archive}.tar.xz`): Promise<void> {
  await rm(dist, { recursive: true, force: true });
  await mkdir(inDist(`${archive}/bin`), { recursive: true });
  await writeFile(inDist(`${archive}/bin/node`), text, { mode: 0o755 });
  await exec('tar', ['-c', '-J', '-f', inDist(`${archive}.tar.xz`), '-C', inDist(''), archive]);
  const sha256 = createHash('sha256')
    .update(await readFile(inDist(`${archive}.tar.xz`)))
    .digest('hex');
  await writeFile(inDist('SHASUMS256.txt'), `${'0'.repeat(64)}  other.tar.gz\n${sha256}  ${listed}\n`);
  await gpg(signer, '--clearsign', inDist('SHASUMS256.txt'));
}

const compare = async (...more: readonly string[]): Promise<Ending> =>
  project.run(
    'scripts/image/compare-node',
    ...['--keyring', join(keys, 'releaser.gpg'), '--from', dist],
    ...more,
  );

const compared = async (): Promise<string> => readFile(join(project.folder, 'image/node.compared'), 'utf8');

describe("npm's Node, compared with the Node.js project's", { timeout: 60_000 }, () => {
  it('is the same where it is, and that is written down only when asked for, once', async () => {
    const before = await compared();
    const ending = await compare();
    expect(ending, ending.output).toMatchObject({ status: 0 });
    expect(await compared()).toBe(before);
    expect(await compare('--record')).toMatchObject({ status: 0 });
    expect(await compare('--record')).toMatchObject({ status: 0 });
    const sha256 = createHash('sha256').update(nodeText).digest('hex');
    const added = (await compared()).slice(before.length);
    expect(added).toMatch(new RegExp(`^x64 ${nodeVersion} ${sha256} [0-9A-F]{40} \\d{4}-\\d\\d-\\d\\d\n$`));
  });

  it('is not the same where one byte differs, and nothing is written down', async () => {
    await publish(nodeText.replace('Node', 'Mode'));
    const before = await compared();
    const ending = await compare('--record');
    expect(ending, ending.output).toMatchObject({ status: 1 });
    expect(ending.output).toContain('NOT THE SAME');
    expect(await compared()).toBe(before);
  });

  it.each<[string, () => Promise<void>, string]>([
    ['the list is signed by somebody else', async () => publish(nodeText, 'other'), 'no valid signature'],
    [
      'the list was changed after it was signed',
      async () => {
        const text = await readFile(inDist('SHASUMS256.txt.asc'), 'utf8');
        await writeFile(inDist('SHASUMS256.txt.asc'), text.replace('other.tar.gz', 'other.tar.xz'));
      },
      'no valid signature',
    ],
    [
      'the list is not signed',
      async () => writeFile(inDist('SHASUMS256.txt.asc'), await readFile(inDist('SHASUMS256.txt'))),
      'no valid signature',
    ],
    [
      'the archive was changed after it was listed',
      async () => changeByte(inDist(`${archive}.tar.xz`)),
      'another checksum than the signed list',
    ],
    [
      'only an unsigned line behind the signed list names the archive',
      async () => {
        const list = await readFile(inDist('SHASUMS256.txt'), 'utf8');
        await publish(nodeText, 'releaser', 'something-else.tar.xz');
        await appendFile(inDist('SHASUMS256.txt.asc'), list);
      },
      'SHASUMS256.txt.asc|does not name',
    ],
  ])('is refused where %s', async (_title, change, says) => {
    await change();
    const ending = await compare();
    expect(ending, ending.output).toMatchObject({ status: 1 });
    expect(ending.output).toMatch(new RegExp(says));
  });

  it("is refused where npm's package in the cache has changed", async () => {
    await changeByte(project.nodePackage);
    expect(await compare()).toMatchObject({ status: 69 });
  });

  it('is not compared where a file cannot be had', async () => {
    await rm(inDist('SHASUMS256.txt.asc'));
    expect(await compare()).toMatchObject({ status: 69 });
  });

  it('is compared with a server as well as with a folder', async () => {
    const server = createServer((request, response) => {
      const file = join(dist, request.url ?? '');
      if (existsSync(file)) createReadStream(file).pipe(response);
      else response.writeHead(404).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const ending = await compare('--from', `http://127.0.0.1:${port}`);
    const missing = await compare('--from', `http://127.0.0.1:${port}/none`);
    server.close();
    expect(ending, ending.output).toMatchObject({ status: 0 });
    expect(missing).toMatchObject({ status: 69 });
  });
});
