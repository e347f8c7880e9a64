import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startHost, type TestHost } from '../support/host/host.ts';
import { makeBareMachine, runInBareMachine } from '../support/images/bare-machine.ts';
import { buildImageIn, checkOut, makeOrigin } from '../support/images/checkout.ts';
import { startForwardProxy, type ForwardProxy } from '../support/server/forward-proxy.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const tag = 'registry.example:5000/rancher/agent:v1';
const choices = `--unlocked --base agent-test-base --tag ${tag}`;
/** Two sets of packages, Debian's and npm's. */
const DEADLINE_MS = 15 * 60_000;
/** What npm trusts on this machine: by the environment, or by its own settings, which print "null" where there are none. */
const cafile = (await run('npm', ['config', 'get', 'cafile'])).stdout.trim();
const ownAuthorities = cafile === 'null' ? '/etc/ssl/certs/ca-certificates.crt' : cafile;
const certificates = process.env['NODE_EXTRA_CA_CERTS'] ?? ownAuthorities;
/** `TEST_BUILDER_BASE=minimal`: the builder installs Debian's packages itself, which takes minutes more. */
const minimal = process.env['TEST_BUILDER_BASE'] === 'minimal' ? ['--minimal'] : [];
const gitSecret = 'c4nary0fth3checkout';

let folder: string;
let machine: string;
let host: TestHost;
/** Hosts of the tests have no way out but these. Only apt is asked for the password: Debian 13's npm sends none. */
let proxies: readonly [ForwardProxy, ForwardProxy];
let builderBase: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rah-builder-'));
  machine = join(folder, 'machine');
  // A host of the tests has a /run of its own, and the file may be there.
  await copyFile(certificates, join(folder, 'certificates.pem'));
  await makeOrigin(join(folder, 'origin'));
  await checkOut(join(folder, 'origin'), join(folder, 'checkout'));
  await mkdir(machine);
  await makeBareMachine(machine);
  await checkOut(join(folder, 'origin'), join(machine, 'project'));
  // As build servers leave it.
  await run('git', [
    '-C',
    join(machine, 'project'),
    'config',
    'http.extraheader',
    `Authorization: ${gitSecret}`,
  ]);
  host = await startHost({ name: 'builder', images: 'base' });
  proxies = [await startForwardProxy(host.gateway), await startForwardProxy(host.gateway, { open: true })];
  const engine = `unix://${host.engineSocketPath}`;
  const base = await run('scripts/fixtures/build-builder-base', ['--host', engine, ...minimal], {
    cwd: root,
  });
  builderBase = base.stdout.trim();
}, DEADLINE_MS);
afterAll(async () => {
  await Promise.all(proxies.map((it) => it.close()));
  await host.stop();
  await rm(folder, { recursive: true, force: true });
});

const inMachine = async (command: string): Promise<string> =>
  runInBareMachine(machine, host.engineSocketPath, command);
const dockerBuild = `docker build -f image/builder/Dockerfile -t agent-builder`;

describe('a machine with a Docker client and busybox', () => {
  it('has nothing else: scripts/build-image does not start there', async () => {
    await expect(inMachine(`scripts/build-image ${choices}`)).rejects.toThrow();
    expect(await inMachine('type git npm node bash || echo none')).toMatch(/none$/);
  });

  it('refuses to build the builder on a tag, which may be another image tomorrow', async () => {
    const build = inMachine(`${dockerBuild} --build-arg BASE=debian:local . 2>&1`);
    await expect(build).rejects.toMatchObject({ stdout: expect.stringContaining('no digest') as string });
  });

  it(
    'gets the same image id as scripts/build-image by one docker build and one docker run',
    async () => {
      const [closed, open] = proxies;
      await inMachine(
        `${dockerBuild} --build-arg BASE=${builderBase} --build-arg http_proxy=${closed.url} . >&2`,
      );
      const environment = [`http_proxy=${open.url}`, `https_proxy=${open.url}`];
      environment.push('NODE_EXTRA_CA_CERTS=/certificates.pem', 'npm_config_cafile=/certificates.pem');
      const id = await inMachine(`docker run --name built -v /run/engine.sock:/var/run/docker.sock \
        -v ${join(folder, 'certificates.pem')}:/certificates.pem:ro ${environment.map((it) => `--env ${it}`).join(' ')} \
        agent-builder ${choices} --sbom /tmp/sbom.json; docker cp built:/tmp/sbom.json . >&2`);
      expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
      expect(await buildImageIn(join(folder, 'checkout'), engineOf(host), ...choices.split(' '))).toBe(id);
      const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
        version: string;
      };
      expect(await readFile(join(machine, 'project/sbom.json'), 'utf8')).toContain(version);
    },
    DEADLINE_MS,
  );

  // The sources of the tests have these passwords as well.
  it('leaves no password of the proxy or of the checkout in the builder, and nothing of npm', async () => {
    const [closed] = proxies;
    const described = await host.docker('image', 'inspect', 'agent-builder');
    const history = await host.docker('history', '--no-trunc', 'agent-builder');
    for (const secret of [closed.password, gitSecret]) {
      expect(described).not.toContain(secret);
      expect(history).not.toContain(secret);
      const search = `grep -rlF --exclude-dir=test ${secret} /etc /project /root /tmp /var || echo none`;
      const found = await host.docker('run', '--rm', '--entrypoint', 'bash', 'agent-builder', '-c', search);
      expect(found).toBe('none');
    }
    const list = await host.docker('run', '--rm', '--entrypoint', 'ls', 'agent-builder', '-A', '/project');
    expect(list.split('\n')).not.toContain('node_modules');
  });
});

const engineOf = (it: TestHost): { socketPath: string } => ({ socketPath: it.engineSocketPath });
