import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diagnose } from '../../../src/doctor/diagnosis.ts';
import { collect } from '../../../src/doctor/collect.ts';
import type { HostSnapshot } from '../../../src/doctor/snapshot.ts';
import { systemClock } from '../../../src/support/clock.ts';
import { pathsBelow, readConfiguration } from '../../../src/support/configuration.ts';
import { defaultLimits, type Limits } from '../../../src/support/limits/limits.ts';
import { createSecrets } from '../../../src/support/secrets.ts';
import { FakeDaemon, json, silence, text } from '../fakes/fake-daemon.ts';
import { names } from '../fakes/healthy-host.ts';

let daemon: FakeDaemon;
let folder: string;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  folder = await mkdtemp(join(tmpdir(), 'collect-'));
  const proc = join(folder, 'proc');
  await mkdir(join(proc, 'self'), { recursive: true });
  await mkdir(join(proc, '1'), { recursive: true });
  // As in a container with --pid=host: process 1 is in another mount namespace, and its root is the host's.
  await mkdir(join(proc, 'self/ns'));
  await mkdir(join(proc, '1/ns'));
  await symlink('mnt:[2]', join(proc, 'self/ns/mnt'));
  await symlink('mnt:[1]', join(proc, '1/ns/mnt'));
  await mkdir(join(proc, '1/root/var/lib/docker'), { recursive: true });
  await writeFile(join(proc, 'self/mountinfo'), '');
});
afterEach(async () => {
  await daemon.stop();
  await rm(folder, { recursive: true, force: true });
});

async function collectHere(changes: Partial<Limits> = {}): Promise<HostSnapshot> {
  const limits: Limits = {
    ...defaultLimits,
    DOCTOR_CALL: 1_000,
    DOCTOR_TOTAL: 6_000,
    DOCTOR_INSPECT: 200,
    DOCTOR_SERVER: 200,
    ...changes,
  };
  const each = limits.DOCTOR_CALL;
  return collect({
    configuration: {
      ...readConfiguration({}, 'host'),
      limits,
      paths: pathsBelow(join(folder, 'rancher'), join(folder, 'proc')),
    },
    names,
    clock: systemClock,
    secrets: createSecrets(),
    signal: new AbortController().signal,
    kernelRelease: '3.10.0-327.el7.x86_64',
    connect: async () =>
      daemon.connect({
        limits: {
          ...limits,
          CALL_TRIES: 1,
          ENGINE_CONNECT: each,
          LIST: each,
          INSPECT: limits.DOCTOR_INSPECT,
        },
      }),
  });
}

const version = json(200, { Version: '1.10.3', ApiVersion: '1.22' });
const info = json(200, {
  Driver: 'devicemapper',
  DockerRootDir: '/var/lib/docker',
  DriverStatus: [
    ['Metadata Space Used', '40 MB'],
    ['Metadata Space Total', '75.5 MB'],
    ['Deferred Removal Enabled', 'false'],
    ['Deferred Deletion Enabled', 'false'],
  ],
});
const agentId = 'a'.repeat(64);
const deadId = 'd'.repeat(64);
const labels = { 'io.rancher.container.system': 'rancher-agent' };
/** As 1.10.3 lists them: no `State`. */
const list = [
  {
    Id: agentId,
    Names: ['/rancher-agent'],
    Image: 'rancher/agent:v1.0.2',
    Command: '/run.sh run',
    Status: 'Up 3 hours',
    Labels: labels,
  },
  {
    Id: deadId,
    Names: ['/rancher-agent-previous'],
    Image: 'rancher/agent:v1.0.2',
    Command: '/run.sh run',
    Status: 'Dead',
    Labels: labels,
  },
];
const details = {
  Id: agentId,
  Name: '/rancher-agent',
  Path: '/run.sh',
  Args: ['run'],
  State: { Status: 'running', Running: true, StartedAt: '2016-07-01T00:00:00Z' },
  // Nobody listens there.
  Config: {
    Image: 'rancher/agent:v1.0.2',
    Labels: labels,
    Env: [
      'CATTLE_URL=http://127.0.0.1:1/v1',
      'CATTLE_ACCESS_KEY=KEY0000001',
      'CATTLE_SECRET_KEY=verysecret0001',
    ],
  },
  HostConfig: {
    Binds: ['/var/run/docker.sock:/var/run/docker.sock'],
    Privileged: true,
    RestartPolicy: { Name: 'always' },
  },
};

describe('the snapshot of a host', () => {
  it('has a dead container that the engine of the incident lists and cannot inspect, and no secret', async () => {
    daemon.on('GET', '/version', version).on('GET', '/info', info);
    daemon.on('GET', '/containers/json', json(200, list));
    daemon.on('GET', `/containers/${agentId}/json`, json(200, details));
    daemon.on('GET', `/containers/${deadId}/json`, text(404, 'no such container'));
    const snapshot = await collectHere();
    expect(snapshot.agents).toMatchObject({
      known: true,
      value: [
        { role: 'agent', state: 'running', ownEntrypoint: false, server: 'http://127.0.0.1:1/v1' },
        { role: 'previous', state: 'dead', managed: true },
      ],
    });
    expect(JSON.stringify(snapshot)).not.toContain('verysecret0001');
    expect(diagnose(snapshot, defaultLimits, 1).causes).toEqual([
      'server-unavailable',
      ...['deferred-off', 'cannot-remove', 'legacy-entrypoint', 'key-missing', 'plain-http'],
    ]);
    expect(daemon.seen.map(({ method }) => method)).not.toContain('POST');
  });

  it('has everything else in time if the engine accepts the connection and does not answer', async () => {
    daemon.on('GET', '/version', silence);
    const begun = Date.now();
    const snapshot = await collectHere({ DOCTOR_CALL: 300 });
    expect(Date.now() - begun).toBeLessThan(1_500);
    expect(snapshot.engine).toMatchObject({
      known: false,
      why: 'connect to the engine: no answer within 300 ms',
    });
    expect(snapshot).toMatchObject({
      fileSystem: { known: true },
      lock: { known: true, value: { state: 'free' } },
      key: { known: true, value: 'missing' },
      status: { known: true, value: { kind: 'missing' } },
      agents: { known: false },
      server: { known: false },
    });
  });

  it('has the first answers of an engine that freezes in between, within a limited time', async () => {
    daemon.on('GET', '/version', version).on('GET', '/info', silence).on('GET', '/containers/json', silence);
    const begun = Date.now();
    const snapshot = await collectHere({ DOCTOR_CALL: 60_000, DOCTOR_TOTAL: 500 });
    expect(Date.now() - begun).toBeLessThan(1_500);
    expect(snapshot).toMatchObject({
      engine: { known: true },
      info: { known: false },
      containers: { known: false },
    });
    expect(diagnose(snapshot, defaultLimits, 1).unknown).toEqual([
      'agents',
      'leaks',
      'restarts',
      'server',
      'serving',
    ]);
  });

  it('has all other containers if the engine hangs on a single one', async () => {
    daemon.on('GET', '/version', version).on('GET', '/info', info);
    daemon.on('GET', '/containers/json', json(200, list));
    daemon.on('GET', `/containers/${agentId}/json`, silence);
    daemon.on('GET', `/containers/${deadId}/json`, text(404, 'no such container'));
    const snapshot = await collectHere();
    expect(snapshot.containers).toMatchObject({ known: true });
    expect(snapshot.agents).toMatchObject({
      known: true,
      value: [
        { role: 'agent', state: 'running', hangs: true },
        { state: 'dead', hangs: false },
      ],
    });
    expect(diagnose(snapshot, defaultLimits, 1).causes).toContain('agent-hangs');
  });
});
