import { execFile } from 'node:child_process';
import { truncate } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Diagnosis } from '../../../src/doctor/diagnosis.ts';
import { callEngine } from '../../support/host/engine-call.ts';
import { enterHost } from '../../support/host/host-namespaces.ts';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';

/* Engines that a person has set up in another way than Docker's own defaults: engine-notes §9. */

const run = promisify(execFile);

let scene: Scene;

const rancher = ['-v', '/var/lib/rancher:/var/lib/rancher'];
const socket = ['-v', '/var/run/docker.sock:/var/run/docker.sock'];

async function hostConfigOf(name: string): Promise<Record<string, unknown>> {
  const text = await scene.host.docker('inspect', '-f', '{{json .HostConfig}}', name);
  return JSON.parse(text) as Record<string, unknown>;
}

describe('an engine with log settings of its own', () => {
  let syslog: Server | undefined;

  beforeAll(async () => {
    scene = await startScene({ name: 'logs' });
  });
  afterEach(async () => {
    syslog?.close();
    syslog = undefined;
    await scene.reset();
  });
  afterAll(async () => scene.close());

  /** `inspect-host` without the host's folder, as an old server's script calls it: a worker looks. */
  async function inspectHost(): ReturnType<Scene['host']['tryDocker']> {
    return scene.host.tryDocker('run', '--rm', '--privileged', ...socket, images.a, 'inspect-host');
  }

  it('json-file without an end: the agent gets one', async () => {
    expect((await scene.register()).status).toBe(0);
    expect(await hostConfigOf('rancher-agent')).toMatchObject({
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10000000', 'max-file': '5' } },
    });
  });

  it('a log of gigabytes is named by the doctor, whose advice frees the disk', async () => {
    await scene.host.docker('run', '-d', '--name', 'shop', '--entrypoint', 'sleep', images.upstream, '600');
    const path = await scene.host.docker('inspect', '-f', '{{.LogPath}}', 'shop');
    await truncate(scene.host.pathInHost(path), 3_100_000_000);
    const doctor = ['run', '--rm', '--privileged', '--pid=host', ...socket, ...rancher, images.a, 'doctor'];
    const look = async (): Promise<Diagnosis> =>
      JSON.parse((await scene.host.tryDocker(...doctor, '--json')).stdout) as Diagnosis;
    const { findings } = await look();
    const line = findings.find(({ cause }) => cause === 'log-large');
    expect(line?.text).toBe('large logs of containers: shop (3.1 GB)');
    const [command = 'no command'] = /truncate -s 0 \S+\b/.exec(line?.advice ?? '') ?? [];
    await run('nsenter', [...enterHost(scene.host.initPid), ...command.split(' ')]);
    expect((await look()).causes).not.toContain('log-large');
  });

  it('none: what the worker finds and says arrives', async () => {
    await scene.host.restartEngine({ 'log-driver': 'none' });
    const inspected = await inspectHost();
    expect(inspected.stdout).toMatch(/^INFO: env "TOKEN=/m);
    expect(inspected.stderr).not.toMatch(/cannot follow/);
    const registered = await scene.register();
    expect(registered.status).toBe(0);
    expect(registered.stderr).toMatch(/rancher-agent runs|registered/i);
    expect((await hostConfigOf('rancher-agent'))['LogConfig']).toEqual({ Type: 'none', Config: {} });
    const failed = await scene.upgrade(images.broken);
    expect(failed.status).toBe(73);
    expect(failed.stderr).toMatch(/ERROR/);
    await scene.settled('rancher-agent-upgrade');
  });

  it('syslog without a cache: the same', async () => {
    syslog = createServer((connection) => connection.resume());
    await new Promise<void>((resolve) => syslog?.listen(join(scene.host.dir, 'run', 'syslog.sock'), resolve));
    await scene.host.restartEngine({
      'log-driver': 'syslog',
      'log-opts': { 'syslog-address': 'unix:///run/syslog.sock', 'cache-disabled': 'true' },
    });
    expect((await inspectHost()).stdout).toMatch(/^INFO: env "TOKEN=/m);
    expect((await scene.register()).status).toBe(0);
  });

  it('fluentd that does not answer: the failure names the log driver, and nothing is left', async () => {
    await scene.host.restartEngine({
      'log-driver': 'fluentd',
      'log-opts': { 'fluentd-address': '127.0.0.1:24224' },
    });
    const registered = await scene.register(images.a, '--log-driver', 'json-file');
    expect(registered.status).toBe(73);
    expect(registered.stderr).toMatch(
      /what to do: the engine's log driver does not work: start its log server/,
    );
    await scene.only();
  });
});

describe('an engine with mounts of its own, as from MountFlags=slave', () => {
  beforeAll(async () => {
    scene = await startScene({ name: 'mounts', ownMounts: true });
  });
  afterAll(async () => scene.close());

  async function mountsOfDaemon(): Promise<readonly string[]> {
    const inside = ['sh', '-c', 'cat /proc/$(cat /var/run/docker.pid)/mountinfo'];
    const { stdout } = await run('nsenter', [...enterHost(scene.host.initPid), ...inside]);
    return stdout.split('\n').filter((line) => line.includes(' /var/lib/rancher/volumes '));
  }

  it('containers may share the folder of the volumes, and see what another one mounts there', async () => {
    expect((await scene.register()).status).toBe(0);
    await scene.waitFor('the shared mount', async () =>
      (await mountsOfDaemon()).some((line) => line.includes(' shared:')) ? true : undefined,
    );
    const volumes = '/var/lib/rancher/volumes:/var/lib/rancher/volumes';
    const shell = ['--entrypoint', 'sh', images.upstream, '-c'];
    const driver = 'mkdir -p /var/lib/rancher/volumes/v && mount -t tmpfs none /var/lib/rancher/volumes/v';
    const stored = await scene.host.tryDocker(
      ...['run', '--rm', '--privileged', '-v', `${volumes}:shared`, ...shell, driver],
    );
    expect(stored, stored.stderr).toMatchObject({ status: 0 });
    const seen = await scene.host.tryDocker('run', '--rm', '-v', volumes, ...shell, 'cat /proc/mounts');
    expect(seen.stdout).toMatch(/ \/var\/lib\/rancher\/volumes\/v tmpfs /);
    const before = await mountsOfDaemon();
    await scene.host.docker('restart', 'rancher-agent');
    await scene.settled();
    expect(await mountsOfDaemon()).toEqual(before);
  });
});

describe('an engine on devicemapper', () => {
  beforeAll(async () => {
    scene = await startScene({ name: 'pool' });
  });
  afterAll(async () => scene.close());

  it('whose pool needs a check: the doctor says what the dmsetup of the host says', async () => {
    const { body } = await callEngine(scene.host.engineSocketPath, 'GET', '/info');
    const driver = { Driver: 'devicemapper', DriverStatus: [['Pool Name', 'docker-thinpool']] };
    scene.host.proxy.addRule({
      match: ({ path }) => path === '/info',
      action: { kind: 'answer', status: 200, body: { ...(body as object), ...driver } },
    });
    const status =
      '0 12582912 thin-pool 3 283/2048 5435/98304 - ro discard_passdown queue_if_no_space needs_check 1024';
    const setUp = [
      'mount -t tmpfs none /usr/local/sbin',
      `printf '#!/bin/sh\\n[ "$*" = "status --noflush docker-thinpool" ] && echo "%s"\\n' '${status}' >/usr/local/sbin/dmsetup`,
      'chmod 755 /usr/local/sbin/dmsetup',
    ];
    await run('nsenter', [...enterHost(scene.host.initPid), 'sh', '-c', setUp.join(' && ')]);
    const doctor = ['run', '--rm', '--privileged', '--pid=host', ...socket, ...rancher, images.a, 'doctor'];
    const { stdout } = await scene.host.tryDocker(...doctor, '--json');
    const { findings } = JSON.parse(stdout) as Diagnosis;
    expect(findings.find(({ cause }) => cause === 'pool-read-only')).toMatchObject({
      level: 'unhealthy',
      figures: { mode: 'ro', needsCheck: true },
    });
  });
});

describe('an engine with userns-remap', () => {
  beforeAll(async () => {
    scene = await startScene({ name: 'userns', userns: true });
  });
  afterAll(async () => scene.close());

  it('registers and upgrades in the user namespace of the host', async () => {
    const registered = await scene.register(images.a, '--userns', 'host');
    expect(registered).toMatchObject({ status: 0 });
    expect(await hostConfigOf('rancher-agent')).toMatchObject({ Privileged: true, UsernsMode: 'host' });
    const upgraded = await scene.upgrade(images.b, '--userns', 'host', ...rancher);
    expect(upgraded).toMatchObject({ status: 0 });
    await scene.waitFor('the upgrade', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
    const status = await scene.host.docker('exec', 'rancher-agent', '/run.sh', 'status', '--json');
    expect(JSON.parse(status)).toMatchObject({ verdict: 'healthy' });
  });
});
