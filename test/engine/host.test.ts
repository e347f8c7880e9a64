import { spawn } from 'node:child_process';
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import { access, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { callEngine } from '../support/host/engine-call.ts';
import { toldApi } from '../support/host/engine-root.ts';
import { sweepDeadHosts } from '../support/host/host-slot.ts';
import { startHost, type TestHost } from '../support/host/host.ts';

const IMAGE = 'agent-test-base';
let host: TestHost;

beforeAll(async () => {
  host = await startHost({ name: 'one', images: 'base' });
});
afterEach(() => host.reset());
afterAll(() => host.stop());

async function expectSoon(look: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await look())) {
    if (Date.now() > deadline) expect.fail(`not within 20 s: ${what}`);
    await sleep(50);
  }
}

function isGone(path: string): Promise<boolean> {
  return access(path).then(
    () => false,
    () => true,
  );
}

async function stateOf(name: string): Promise<string | undefined> {
  return (await host.containers()).find((it) => it.name === name)?.state;
}

describe('a host', () => {
  it('is separate from another one', async () => {
    const other = await startHost({ name: 'two', images: 'base' });
    try {
      expect(other.gateway).not.toBe(host.gateway);
      await Promise.all([
        host.docker('create', '--name', 'twin', IMAGE, 'true'),
        other.docker('create', '--name', 'twin', IMAGE, 'true'),
      ]);
      expect((await host.inspect('twin'))?.Id).not.toBe((await other.inspect('twin'))?.Id);
      expect(await other.docker('info', '--format', '{{.ID}}')).not.toBe(
        await host.docker('info', '--format', '{{.ID}}'),
      );
    } finally {
      await other.stop();
    }
    await expect(access(other.dir)).rejects.toThrow('ENOENT');
    expect(await host.containers()).toHaveLength(1);
  });

  it('shows a privileged container with --pid host its own process 1 and file system', async () => {
    await mkdir(join(host.stateDir, 'state'));
    await writeFile(join(host.stateDir, 'state', 'mark'), 'of host one');
    const look = 'tr "\\0" " " </proc/1/cmdline; cat /proc/1/root/var/lib/rancher/state/mark';
    const seen = await host.docker('run', '--rm', '--privileged', '--pid', 'host', IMAGE, 'sh', '-c', look);
    expect(seen).toBe('tini -- sleep infinity of host one');
    expect(await host.docker('info', '--format', '{{.DockerRootDir}} {{.Name}}')).toBe('/var/lib/docker one');
  });

  it('runs privileged containers and execs with a negative OOM score, and inspect shows what was asked', async () => {
    const flags = ['--privileged', '--net', 'host', '--pid', 'host', '--oom-score-adj', '-500', '--init'];
    await host.docker('run', '-d', '--name', 'agent', ...flags, IMAGE, 'sleep', '1000');
    expect(await host.docker('exec', '--privileged', 'agent', 'hostname')).toBe('one');
    const config = (await host.inspect('agent'))?.HostConfig;
    expect(config).toMatchObject({ Privileged: true, OomScoreAdj: -500, Runtime: 'runc' });
  });

  it.each([[['--net', 'bridge']], [['--net', 'host']]])(
    'lets containers (%j) reach a server of the test',
    async (net) => {
      const server: Server = createServer((_, response) => response.end('here'));
      server.listen(0, host.gateway);
      await once(server, 'listening');
      try {
        const { port } = server.address() as { port: number };
        const url = `http://${host.gateway}:${port}/`;
        expect(await host.docker('run', '--rm', ...net, IMAGE, 'curl', '-s', '-m', '5', url)).toBe('here');
      } finally {
        server.close();
      }
    },
  );

  it('loses everything but its data in a power cut, and brings `always` containers back', async () => {
    await host.docker('run', '-d', '--name', 'always', '--restart', 'always', IMAGE, 'sleep', '1000');
    await host.docker('run', '-d', '--name', 'once', IMAGE, 'sleep', '1000');
    const before = host.initPid;
    await host.reboot();
    expect(host.initPid).not.toBe(before);
    await expectSoon(async () => (await stateOf('always')) === 'running', 'the container is back');
    expect(await stateOf('once')).toBe('exited');
  });

  it('leaves no processes behind', async () => {
    const other = await startHost({ images: 'base' });
    const { stdout } = other.spawnDocker('run', '--rm', IMAGE, 'sh', '-c', 'echo up; sleep 1000');
    if (stdout) await once(stdout, 'data');
    const { initPid } = other;
    await other.stop();
    await expect(readFile(`/proc/${initPid}/stat`)).rejects.toThrow();
  });
});

describe('a test process that dies', () => {
  it('takes its hosts with it, and the next start removes their folders', async () => {
    const program = `import { startHost } from '${join(import.meta.dirname, '../support/host/host.ts')}';
      const host = await startHost({ images: 'base' });
      await host.docker('run', '-d', '${IMAGE}', 'sleep', '1000');
      await host.docker('create', '--name', 'stuck', '${IMAGE}', 'true');
      await host.makeUnremovable('stuck');
      console.log(host.initPid, host.dir);
      setInterval(() => {}, 1000);`;
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(owner.stdout, 'data')) as [Buffer];
    const [initPid = '', dir = ''] = line.toString().trim().split(' ');
    owner.kill('SIGKILL');
    await expectSoon(() => isGone(`/proc/${initPid}/ns/pid`), 'its process 1 is dead');
    expect(await isGone(dir)).toBe(false);
    await sweepDeadHosts();
    expect(await isGone(dir)).toBe(true);
  });
});

describe('faults', () => {
  it('makes removal fail until it is lifted', async () => {
    await host.docker('create', '--name', 'stuck', IMAGE, 'true');
    const { Id } = (await host.inspect('stuck')) ?? {};
    await host.makeUnremovable('stuck');
    const removal = await callEngine(host.engineSocketPath, 'DELETE', `/containers/${Id}?force=1`);
    expect(removal.status).toBe(500);
    expect(await stateOf('stuck')).toMatch(/dead|removing/);
    await host.makeRemovable(Id ?? '');
    expect((await callEngine(host.engineSocketPath, 'DELETE', `/containers/${Id}`)).status).toBe(204);
    expect(await host.containers()).toEqual([]);
  });

  it('resets a host with an unremovable container', async () => {
    await host.docker('create', '--name', 'stuck', IMAGE, 'true');
    await host.makeUnremovable('stuck');
    expect((await host.tryDocker('rm', '-f', 'stuck')).status).toBe(1);
    await host.reset();
    expect(await host.containers()).toEqual([]);
  });

  it('freezes and thaws the engine', async () => {
    await host.freezeEngine();
    const call = callEngine(host.engineSocketPath, 'GET', '/_ping', { timeoutMs: 300 });
    await expect(call).rejects.toThrow(/timeout/);
    await host.thawEngine();
    expect(await host.docker('ps', '-q')).toBe('');
  });

  it('kills the engine and starts it again on the same data', async () => {
    await host.docker(
      'run',
      '-d',
      '--name',
      'always',
      '--restart',
      'always',
      '--init',
      IMAGE,
      'sleep',
      '1000',
    );
    await host.killEngine();
    await expect(callEngine(host.socketPath, 'GET', '/_ping')).rejects.toThrow();
    await host.startEngine();
    await expectSoon(async () => (await stateOf('always')) === 'running', 'the container is back');
    expect(await host.docker('exec', 'always', 'echo', 'alive')).toBe('alive');
  });

  it('makes one container hang and no other', async () => {
    await host.docker('run', '-d', '--name', 'hung', IMAGE, 'sleep', '1000');
    await host.docker('run', '-d', '--name', 'fine', IMAGE, 'sleep', '1000');
    const { Id = '' } = (await host.inspect('hung')) ?? {};
    await host.freezeShim('hung');
    const stop = callEngine(host.engineSocketPath, 'POST', `/containers/${Id}/stop?t=0`, {
      timeoutMs: 1_500,
    });
    await expect(stop).rejects.toThrow(/timeout/);
    await host.docker('rm', '-f', 'fine');
    await host.thawShim(Id);
    await host.docker('rm', '-f', 'hung');
  });

  it('fills a small disk and frees it', async () => {
    const small = await startHost({ images: 'base', smallDisk: { mib: 20, inodes: 500 } });
    try {
      await small.fillDisk();
      const full = await small.tryDocker('run', '--rm', IMAGE, 'true');
      expect(full.stderr).toContain('no space left on device');
      await small.freeDisk();
      await small.docker('run', '--rm', IMAGE, 'true');
      await small.fillInodes();
      expect((await small.tryDocker('run', '--rm', IMAGE, 'true')).stderr).toContain(
        'no space left on device',
      );
      await small.freeDisk();
      await small.reboot();
      await small.docker('run', '--rm', IMAGE, 'true');
    } finally {
      await small.stop();
    }
  });
});

describe('the proxy', () => {
  it('records requests with their bodies and passes hijacked streams through', async () => {
    const { stdout } = await host.tryProxiedDocker('run', '--rm', '-e', 'SECRET=x', IMAGE, 'echo', 'through');
    expect(stdout).toBe('through\n');
    const create = host.proxy.requests.find((it) => it.path === '/containers/create');
    expect(create).toMatchObject({ method: 'POST', status: 201, body: { Image: IMAGE, Env: ['SECRET=x'] } });
    expect(host.proxy.count({ method: 'POST', path: '/containers/create' })).toBe(1);
    expect(host.proxy.count((it) => it.path.endsWith('/attach') && it.status === 101)).toBe(1);
  });

  it('passes standard input through and ends it', async () => {
    const client = host.spawnProxiedDocker('run', '-i', '--rm', IMAGE, 'cat');
    client.stdin?.end('back and forth');
    const chunks: Buffer[] = [];
    client.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
    const [status] = (await once(client, 'exit')) as [number];
    expect([status, Buffer.concat(chunks).toString()]).toEqual([0, 'back and forth']);
  });

  it('serves containers that mount the socket', async () => {
    const mount = '/var/run/docker.sock:/var/run/docker.sock';
    await host.docker('run', '--rm', '-v', mount, ...toldApi(), IMAGE, 'docker', 'ps');
    expect(host.proxy.count({ path: '/containers/json' })).toBe(1);
  });

  it('imitates an old engine', async () => {
    const { Version } = (await callEngine(host.socketPath, 'GET', '/version')).body as { Version: string };
    host.proxy.pinApi('1.22');
    const version = (await callEngine(host.socketPath, 'GET', '/version')).body;
    expect(version).toMatchObject({ ApiVersion: '1.22', Version });
    expect(version).not.toHaveProperty('MinAPIVersion');
    expect((await callEngine(host.socketPath, 'HEAD', '/_ping')).status).toBe(404);
    expect(await callEngine(host.socketPath, 'GET', '/v1.23/info')).toEqual({
      status: 400,
      body: 'client is newer than server (client API version: 1.23, server API version: 1.22)\n',
    });
    const body = { Image: IMAGE, Cmd: ['true'], HostConfig: { AutoRemove: true } };
    await callEngine(host.socketPath, 'POST', '/containers/create?name=kept', { body });
    await callEngine(host.socketPath, 'POST', '/containers/kept/start');
    await expectSoon(async () => (await stateOf('kept')) === 'exited', 'AutoRemove is ignored');
    const call = (path: string) => callEngine(host.socketPath, 'GET', path);
    const list = (await call('/containers/json?all=1')).body as object[];
    expect(list).toMatchObject([{ Names: ['/kept'], Status: expect.stringMatching(/^Exited/) as string }]);
    expect(list[0]).not.toHaveProperty('State');
    expect((await call('/containers/json?all=1&filters={"status":["removing"]}')).status).toBe(500);
    expect(await call('/containers/nobody/json')).toEqual({
      status: 404,
      body: 'No such container: nobody\n',
    });
    await host.makeUnremovable('kept');
    const dead = (await host.inspect('kept'))?.Id ?? '';
    expect((await callEngine(host.socketPath, 'DELETE', '/containers/kept')).status).toBe(500);
    expect((await call('/containers/kept/json')).status).toBe(404);
    expect((await call('/containers/json?all=1')).body).toMatchObject([{ Id: dead, Status: 'Dead' }]);
  });

  it.each(['cut', 'cut-after-headers', 'lose-answer'] as const)(
    '%s: the client gets no complete answer',
    async (kind) => {
      host.proxy.addRule({ match: (it) => it.path === '/containers/create', times: 1, action: { kind } });
      const create = (name: string) =>
        callEngine(host.socketPath, 'POST', `/containers/create?name=${name}`, { body: { Image: IMAGE } });
      await expect(create('lost')).rejects.toThrow();
      expect(await stateOf('lost')).toBe(kind === 'cut' ? undefined : 'created');
      expect((await create('second')).status).toBe(201);
    },
  );

  it('answers, hangs, delays and calls back', async () => {
    const calls: string[] = [];
    const on = (path: string) => (it: { path: string }) => it.path === path;
    const call = (path: string, timeoutMs?: number) =>
      callEngine(host.socketPath, 'GET', path, timeoutMs === undefined ? {} : { timeoutMs });
    host.proxy.addRule({
      match: on('/info'),
      action: { kind: 'answer', status: 500, body: { message: 'sick' } },
    });
    host.proxy.addRule({ match: on('/images/json'), times: 1, action: { kind: 'hang' } });
    host.proxy.addRule({ match: on('/volumes'), action: { kind: 'delay', ms: 200 } });
    for (const when of ['before', 'after'] as const)
      host.proxy.addRule({
        match: on('/version'),
        times: 1,
        action: { kind: 'call', when, run: () => void calls.push(when) },
      });

    expect(await call('/info')).toEqual({ status: 500, body: { message: 'sick' } });
    await expect(call('/images/json', 200)).rejects.toThrow(/timeout/);
    expect((await call('/images/json')).status).toBe(200);
    const asked = Date.now();
    await call('/volumes');
    expect(Date.now() - asked).toBeGreaterThanOrEqual(195);
    await call('/version');
    await call('/version');
    expect(calls).toEqual(['before', 'after']);
  });
});
