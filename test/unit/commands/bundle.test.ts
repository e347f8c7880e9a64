import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dispatch } from '../../../src/cli/dispatch.ts';
import { pathsBelow, readConfiguration } from '../../../src/support/configuration.ts';
import { defaultLimits } from '../../../src/support/limits/limits.ts';
import { silentLog } from '../../../src/support/log.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { keyboardOf, terminalOf } from '../../../src/support/terminal.ts';
import { FakeDaemon, json, silence, text } from '../fakes/fake-daemon.ts';

let daemon: FakeDaemon;
let folder: string;
let file: string;

/** None of these may be in a bundle. */
const canaries = {
  agentKey: 'CANARYACCESSKEY01',
  agentSecret: 'canary-agent-secret-01',
  hostKey: 'ca'.repeat(64),
  token: 'CANARYTOKEN0001:1467936000000:abcdef',
  proxyPassword: 'canary-proxy-password',
  confPassword: 'canary-conf-password',
  comment: 'canary-in-a-comment',
  short: 'pw1',
} as const;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  folder = await mkdtemp(join(tmpdir(), 'bundle-'));
  file = join(folder, 'bundle.txt');
  const rancher = join(folder, 'rancher');
  const proc = join(folder, 'proc');
  await mkdir(join(proc, 'self/ns'), { recursive: true });
  await mkdir(join(proc, '1/ns'), { recursive: true });
  await symlink('mnt:[2]', join(proc, 'self/ns/mnt'));
  await symlink('mnt:[1]', join(proc, '1/ns/mnt'));
  await writeFile(join(proc, 'self/mountinfo'), `1 0 8:1 / ${rancher} rw - ext4 /dev/sda1 rw\n`);
  for (const name of ['state', 'etc', 'entrypoint']) await mkdir(join(rancher, name), { recursive: true });
  await writeFile(join(rancher, 'state/.registration_token'), `${canaries.hostKey}\n`);
  await writeFile(
    join(rancher, 'etc/agent.conf'),
    `# ${canaries.comment}\nexport MY_PASSWORD=${canaries.confPassword}\nexport DB_PASSWD=${canaries.short}\nexport AGENT_LIMIT_READY=1\n`,
  );
  await writeFile(join(rancher, 'entrypoint/state'), 'ok\n');
  await writeFile(
    join(rancher, 'entrypoint/worker.log'),
    `INFO: key ${canaries.hostKey}\nINFO: ${canaries.confPassword}\nINFO: the last line of the worker\n`,
  );
});
afterEach(async () => {
  await daemon.stop();
  await rm(folder, { recursive: true, force: true });
});

async function run(...args: readonly string[]): Promise<{ readonly status: number; readonly out: string }> {
  let out = '';
  const configuration = {
    ...readConfiguration({}, 'host'),
    socketPath: daemon.socketPath,
    paths: pathsBelow(join(folder, 'rancher'), join(folder, 'proc')),
    limits: {
      ...defaultLimits,
      DOCTOR_CALL: 400,
      DOCTOR_TOTAL: 1_500,
      DOCTOR_INSPECT: 300,
      DOCTOR_SERVER: 200,
      BUNDLE_LOG: 300,
      BUNDLE_TOTAL: 1_000,
    },
  };
  const status = await dispatch(['doctor', ...args], {
    configuration,
    log: { ...silentLog, error: (message) => void (out += `${message}\n`) },
    secrets: createSecrets(),
    version: '1.2.3',
    signal: new AbortController().signal,
    write: (chunk) => void (out += String(chunk)),
    terminal: terminalOf(() => process.stdout, false),
    keyboard: keyboardOf(() => process.stdin),
  });
  return { status, out };
}

const agentId = 'a'.repeat(64);
const labels = { 'io.rancher.container.system': 'rancher-agent' };

/** An engine with an agent whose log quotes all that it knows. */
function answerAsEngine(): void {
  const version = json(200, { Version: '20.10.24', ApiVersion: '1.41' });
  const info = json(200, {
    Driver: 'overlay2',
    DockerRootDir: '/var/lib/docker',
    KernelVersion: '5.10.0',
    HttpProxy: `http://me:${canaries.proxyPassword}@proxy:3128`,
    Name: 'some-host',
  });
  const listed = [
    {
      Id: agentId,
      Names: ['/rancher-agent'],
      Image: 'rancher/agent:v1.2.11',
      Command: '/run.sh run',
      State: 'running',
      Labels: labels,
    },
  ];
  const details = {
    Id: agentId,
    Name: '/rancher-agent',
    Path: '/run.sh',
    Args: ['run'],
    State: { Status: 'running', Running: true, StartedAt: '2016-07-01T00:00:00Z' },
    Config: {
      Image: 'rancher/agent:v1.2.11',
      Labels: labels,
      Env: [
        'CATTLE_URL=http://127.0.0.1:1/v1',
        `CATTLE_ACCESS_KEY=${canaries.agentKey}`,
        `CATTLE_SECRET_KEY=${canaries.agentSecret}`,
        `http_proxy=http://me:${canaries.proxyPassword}@proxy:3128`,
        'CATTLE_AGENT_IP=203.0.113.9',
      ],
    },
    HostConfig: { Binds: ['/var/run/docker.sock:/var/run/docker.sock'], Privileged: true },
  };
  const log = [
    `+ docker run -e CATTLE_SECRET_KEY=${canaries.agentSecret} rancher/agent`,
    `secret ${canaries.agentSecret} base64 ${Buffer.from(canaries.agentSecret).toString('base64')}`,
    `registered at http://server/v1/scripts/${canaries.token}`,
    `INFO: env "TOKEN=${canaries.hostKey}"`,
    'the last line of the agent',
    '',
  ].join('\n');
  daemon.on('GET', '/version', version).on('GET', '/info', info);
  daemon.on('GET', '/containers/json', json(200, listed));
  daemon.on('GET', `/containers/${agentId}/json`, json(200, details));
  daemon.on('GET', `/containers/${agentId}/logs`, text(200, log));
}

describe('doctor --bundle FILE', () => {
  it('writes what a report needs into one file for root alone, and no secret', async () => {
    answerAsEngine();
    const { status, out } = await run('--bundle', file);
    expect(status).toBe(2);
    expect(out).toContain('✗ server');
    const bundle = await readFile(file, 'utf8');
    for (const [name, canary] of Object.entries(canaries)) expect(bundle, name).not.toContain(canary);
    expect(bundle).not.toContain(Buffer.from(canaries.agentSecret).toString('base64'));
    for (const expected of [
      'rancher-agent-entrypoint 1.2.3 (profile rancher-1.2)',
      '"KernelVersion": "5.10.0"',
      '"CATTLE_AGENT_IP": "203.0.113.9"',
      'AGENT_LIMIT_READY=1',
      'DB_PASSWD=***',
      'the last line of the agent',
      'the last line of the worker',
      '==== status --json ====',
      '==== /var/lib/rancher/entrypoint/state ====\nok\n',
    ])
      expect(bundle).toContain(expected);
    expect(bundle).not.toContain('some-host');
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(daemon.seen.every(({ method }) => method === 'GET')).toBe(true);
  });

  it('works within its time when the engine does not answer: with the files of the host', async () => {
    daemon.on('GET', '/version', silence).on('GET', '/info', silence).on('GET', '/containers/json', silence);
    const begun = Date.now();
    const { status } = await run(`--bundle=${file}`);
    expect(Date.now() - begun).toBeLessThan(5_000);
    expect(status).toBe(2);
    const bundle = await readFile(file, 'utf8');
    expect(bundle).toContain('the last line of the worker');
    expect(bundle).toContain('engine-unavailable');
    for (const [name, canary] of Object.entries(canaries)) expect(bundle, name).not.toContain(canary);
  });

  it('works when the engine stops answering after the doctor has asked it', async () => {
    answerAsEngine();
    daemon.on('GET', `/containers/${agentId}/logs`, silence);
    await run('--bundle', file);
    const bundle = await readFile(file, 'utf8');
    expect(bundle).toContain('the last line of the worker');
    expect(bundle).toMatch(/last lines of the log of rancher-agent ====\n.*(within|answer)/);
  });

  it.each(['a file', 'a link', 'a link to nothing'])(
    'refuses %s that is there, and leaves it alone',
    async (what) => {
      answerAsEngine();
      const target = join(folder, 'target');
      if (what === 'a file') await writeFile(file, 'precious');
      else await symlink(target, file);
      if (what === 'a link') await writeFile(target, 'precious');
      const { status, out } = await run('--bundle', file);
      expect(status).toBe(73);
      expect(out).toContain('exists, and a support bundle overwrites nothing');
      expect(daemon.seen).toEqual([]);
      if (what === 'a link to nothing') expect(await readdir(folder)).not.toContain('target');
      else expect(await readFile(file, 'utf8')).toBe('precious');
    },
  );

  it('says at once when the file cannot be written, and how a folder of the host gets there', async () => {
    answerAsEngine();
    const { status, out } = await run('--bundle', join(folder, 'missing/bundle.txt'));
    expect(status).toBe(73);
    expect(out).toContain('cannot write');
    expect(daemon.seen).toEqual([]);
  });

  it.each([['--bundle'], ['--bundle', '--json'], ['--bundle=']])('needs a file: %j', async (...args) => {
    const { status, out } = await run(...args);
    expect(status).toBe(64);
    expect(out).toContain('--bundle needs the name of a new file');
  });
});
