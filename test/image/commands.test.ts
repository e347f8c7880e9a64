import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { expectNoSecrets, placesOf, secretsOf } from '../support/scenes/canary.ts';
import { images, startScene, type Scene } from '../support/scenes/scene.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'image' });
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

const socket = ['-v', '/var/run/docker.sock:/var/run/docker.sock'];
/** As upstream's entrypoint starts its helper (contract §2). */
const helper = [
  'run',
  '--rm',
  '--privileged',
  '-v',
  '/run:/run',
  '-v',
  '/var/run:/var/run',
  '-v',
  '/var/lib:/var/lib',
];

describe('the image', () => {
  it('has the entrypoint and the labels that say what it is', async () => {
    const [image] = JSON.parse(await scene.host.docker('image', 'inspect', images.a)) as [
      { Config: { Labels: Record<string, string>; Entrypoint: string[]; Cmd: string[] | null } },
    ];
    expect(image.Config.Entrypoint).toEqual(['/run.sh']);
    expect(image.Config.Cmd ?? []).toEqual([]);
    expect(image.Config.Labels).toMatchObject({
      'io.rancher.container.system': 'rancher-agent',
      'org.opencontainers.image.licenses': 'Apache-2.0',
      'org.opencontainers.image.title': expect.any(String) as string,
      'org.opencontainers.image.version': expect.stringMatching(/^\d+\.\d+\.\d+/) as string,
      'org.opencontainers.image.revision': 'a',
    });
  });

  it.each([
    ['no argument', [], 1, '', 'ERROR: One parameter required'],
    ['an unknown one', ['frobnicate'], 64, '', 'usage:'],
    ['state', ['state'], 0, 'Rancher State\n', ''],
    ['register without RANCHER_URL', ['register'], 0, '', 'WARN: RANCHER_URL is not set'],
    ['a host it cannot be', ['http://localhost:8080/v1/scripts/sometoken'], 78, '', 'ERROR: '],
    ['-- and a command', ['--', 'bash', '-c', 'echo out; echo err >&2; exit 7'], 7, 'out\n', 'err'],
    ['-- and no program', ['--', 'no-such-program'], 64, '', 'no-such-program: not found'],
    ['upgrade without a socket', ['upgrade'], 69, '', 'mount it: -v /var/run/docker.sock'],
  ])('exits for %s as the contract says', async (_title, args, status, stdout, stderr) => {
    const result = await scene.host.tryDocker('run', '--rm', images.a, ...args);
    expect(result).toMatchObject({ status, stdout });
    expect(result.stderr).toContain(stderr);
    expect(result.stderr).not.toContain('sometoken');
  });

  it('prints its version and lists commands, variables, limits and exit codes', async () => {
    expect(await scene.host.docker('run', '--rm', images.a, '--version')).toMatch(/^\d+\.\d+\.\d+/);
    const help = await scene.host.docker('run', '--rm', images.a, '--help');
    for (const word of ['inspect-host', 'CATTLE_AGENT_IP', 'AGENT_LIMIT_VERIFY', '73', 'AGENT_PROFILE']) {
      expect(help).toContain(word);
    }
  });

  it('leaves no trace of its runtime in the processes it starts', async () => {
    const environment = await scene.host.docker('run', '--rm', images.a, '--', 'env');
    expect(environment).not.toMatch(/^(LD_|NODE_)/m);
    const maps = await scene.host.docker('run', '--rm', images.a, '--', 'cat', '/proc/self/maps');
    expect(maps).not.toContain('/usr/lib/rancher-agent-entrypoint');
    expect(await scene.host.docker('run', '--rm', images.a, '--', 'sh', '-c', 'echo $$')).toBe('1');
  });

  it.each([[['--']], [['--debug', '--']]])(
    'becomes the command after %j, and no Node stays behind',
    async (words) => {
      const id = await scene.host.docker('run', '-d', images.a, ...words, 'sleep', '3600');
      await scene.waitFor('the command, and nothing else', async () => {
        const [, ...processes] = (await scene.host.docker('top', id, '-o', 'pid,args')).split('\n');
        return /^ *\d+ +sleep 3600$/.test(processes.join('\n')) ? true : undefined;
      });
    },
  );
});

describe('the runtime', () => {
  const home = '/usr/lib/rancher-agent-entrypoint';

  it('runs code that was compiled when the image was built: the bundle, and all of Node that it loads', async () => {
    const bundle = `${home}/entrypoint.js`;
    const look = `
      const { readFileSync: read } = require('fs');
      const cachedData = read('${bundle}.' + process.arch + '.cache');
      const script = new (require('vm').Script)(read('${bundle}', 'latin1'), { filename: '${bundle}', cachedData });
      require('http'), require('tls');
      const { internalBinding } = require('internal/test/binding');
      const { compiledWithCache, compiledWithoutCache } = internalBinding('builtins').getCacheUsage();
      console.log(JSON.stringify([script.cachedDataRejected, [...compiledWithCache].length, [...compiledWithoutCache]]));`;
    const [rejected, taken, compiled] = JSON.parse(
      await asLauncher('--no-warnings', '--expose-internals', '-e', look),
    ) as [boolean, number, string[]];
    expect(rejected).toBe(false);
    expect(taken).toBeGreaterThan(20);
    expect(compiled).toEqual([]);
  });

  it('loads no more of Node for inspect-host than it needs', async () => {
    const look = `
      process.argv.splice(1, 0, '${home}/main.cjs');
      process.on('exit', () => console.log(JSON.stringify(process.moduleLoadList)));
      require('${home}/main.cjs');`;
    const loaded = (await asLauncher('-e', look, 'inspect-host')).split('\n').at(-1) ?? '';
    expect(loaded).toContain('"NativeModule http"');
    for (const name of ['tls', 'https', 'http2', 'crypto', 'worker_threads', 'child_process', 'zlib']) {
      expect(loaded).not.toContain(`"NativeModule ${name}"`);
    }
  });

  it.each([
    ['is missing', 'rm "$cache"'],
    ['is older than the bundle', 'touch -d tomorrow "$bundle"'],
    ['is cut off', 'truncate -s 5000 "$cache"'],
    ['is something else', 'echo something else >"$cache"'],
    ['belongs to another bundle', 'echo >>"$bundle"'],
  ])('does the same when the compiled code %s', async (_title, spoil) => {
    const script = `bundle=${home}/entrypoint.js; cache=$(ls $bundle.*.cache); ${spoil}; exec /run.sh state`;
    const args = ['run', '--rm', '--entrypoint', 'bash', images.a, '-euc', script];
    expect(await scene.host.tryDocker(...args)).toMatchObject({
      status: 0,
      stdout: 'Rancher State\n',
      stderr: '',
    });
  });

  /** What Node prints, started as the launcher starts it, but with other arguments; the host's key is there. */
  async function asLauncher(...args: readonly string[]): Promise<string> {
    await scene.host.docker(...helper, images.a, 'inspect-host');
    const traced = ['run', '--rm', '--entrypoint', 'sh', images.a, '-x', '/run.sh', 'state'];
    const { stderr } = await scene.host.tryDocker(...traced);
    const [, program, options] =
      /^\+ exec (\S+) (.*) \S+\/main\.cjs state$/m.exec(stderr.replaceAll("'", '')) ?? [];
    if (program === undefined || options === undefined) throw new Error(`no launch in ${stderr}`);
    const start = [...helper, '--entrypoint', program, images.a, ...options.split(' ')];
    return scene.host.docker(...start, ...args);
  }
});

describe('inspect-host', () => {
  it.each([
    ["with the host's folders mounted, as upstream does", helper],
    ['with nothing but the socket', ['run', '--rm', ...socket]],
  ])('prints what the contract says and nothing else, %s', async (_title, command) => {
    const result = await scene.host.tryDocker(...command, images.a, 'inspect-host');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const key = (await readFile(keyFile(), 'utf8')).trim();
    expect(key).toMatch(/^[0-9a-f]{128}$/);
    expect(result.stdout).toBe(
      [
        `INFO: env "TOKEN=${key}"`,
        'INFO: env "CATTLE_BOOT2DOCKER=false"',
        'INFO: env "CATTLE_VAR_LIB_WRITABLE=true"',
        '',
      ].join('\n'),
    );
    expect(result.stderr).not.toContain(key);
    expect(await scene.names()).toEqual([]);
    const again = await scene.host.tryDocker(...command, images.a, 'inspect-host');
    expect(again.stdout).toBe(result.stdout);
  });

  it('never replaces a damaged host key, because that would register the host twice', async () => {
    await mkdir(join(scene.host.stateDir, 'state'), { recursive: true });
    await writeFile(keyFile(), 'not a key at all!\n');
    const result = await scene.host.tryDocker(...helper, images.a, 'inspect-host');
    expect(result).toMatchObject({ status: 78, stdout: '' });
    expect(await readFile(keyFile(), 'utf8')).toBe('not a key at all!\n');
    // It ends while others of its calls to the disk are still under way: that is no disk that hangs.
    expect(result.stderr).not.toContain('STUCK');
  });

  it('prints the older lines as well in the profile of older agents', async () => {
    const result = await scene.host.tryDocker(
      ...helper,
      ...['-e', 'AGENT_PROFILE=rancher-1.0', images.a, 'inspect-host'],
    );
    expect(result.stdout.split('\n').map((line) => line.replace(/=.*/, ''))).toEqual([
      'INFO: env "TOKEN',
      'INFO: env "CATTLE_BOOT2DOCKER',
      'INFO: env "CATTLE_VAR_LIB_WRITABLE',
      'INFO: env "CATTLE_RANCHEROS',
      'INFO: env "CATTLE_SYSTEMD',
      '',
    ]);
  });
});

describe('status', () => {
  const status = [
    ...['run', '--rm', ...socket],
    '-v',
    '/var/lib/rancher:/var/lib/rancher',
    images.a,
    'status',
  ];

  it('answers on a host that has never had an agent', async () => {
    const text = await scene.host.docker(...status);
    expect(text).toContain('state      unknown');
    expect(text).toContain('containers none in any role');
    expect(text).toContain('lock       free');
  });

  it('shows the state, the containers by role and the lock, for people and for programs', async () => {
    await scene.register(images.a);
    await scene.settled();
    const text = await scene.host.docker(...status);
    expect(text).toContain('state      ok');
    expect(text).toMatch(/containers agent +running +rancher-agent \([0-9a-f]{12}\) rancher\/agent:test-a/);
    const report = JSON.parse(await scene.host.docker(...status, '--json')) as Record<string, unknown>;
    expect(report).toMatchObject({
      version: 2,
      status: { kind: 'valid', status: { state: 'ok', exitCode: 0, command: 'register' } },
      containers: [{ role: 'agent', name: 'rancher-agent', state: 'running' }],
      lock: { state: 'free' },
    });
    const file = join(scene.host.stateDir, 'entrypoint/status.json');
    expect((await stat(file)).mode & 0o777).toBe(0o644);
    expect((await readFile(join(scene.host.stateDir, 'entrypoint/state'), 'utf8')).trim()).toBe('ok');
  });
});

describe('secrets', () => {
  it('are only in the environment of the containers that need them', async () => {
    const result = await scene.register(images.a, '-e', 'CATTLE_SCRIPT_DEBUG=true');
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const upgraded = await scene.upgrade(images.b, '-e', 'RANCHER_DEBUG=true', '-e', 'LOG_FORMAT=json');
    expect(upgraded, upgraded.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    await scene.settled();
    expectNoSecrets(await secretsOf(scene), {
      ...(await placesOf(scene)),
      'what registration said': result.stdout + result.stderr,
      'what the upgrade said': upgraded.stdout + upgraded.stderr,
    });
  });
});

function keyFile(): string {
  return join(scene.host.stateDir, 'state/.registration_token');
}
