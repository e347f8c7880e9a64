import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { labels as readLabels } from '../../../src/agent/identity/roles.ts';
import { connectEngine } from '../../../src/engine/docker-engine.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import { listedLabels } from '../../../src/engine/json/shapes.ts';
import { defaultLimits as limits } from '../../../src/support/limits/limits.ts';
import { silentLog, type Log } from '../../../src/support/log.ts';
import { FakeDaemon, engineOfToday, json, text } from '../fakes/fake-daemon.ts';

const id = 'f'.repeat(64);
const system = 'io.rancher.container.system';
const details = {
  Id: id,
  Name: '/rancher-agent',
  Image: 'sha256:abc',
  State: { Status: 'running', Running: true, StartedAt: '2026-01-01T00:00:00Z' },
};

let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start(engineOfToday);
});

afterEach(async () => {
  await daemon.stop();
});

async function connect(log: Log = silentLog): Promise<Engine> {
  const { socketPath } = daemon;
  return connectEngine({ socketPath, apiVersion: undefined, userAgent: 'test', limits, log });
}

describe('a container that a tenant has given 200,000 labels', () => {
  const labels = Object.fromEntries(Array.from({ length: 200_000 }, (_, index) => [index.toString(36), '']));
  const entry = {
    Id: id,
    Names: ['/other/alias', '/rancher-agent-previous'],
    Image: 'busybox',
    ImageID: 'sha256:abc',
    Command: 'sh',
    Created: 1,
    Labels: { ...labels, 'io.rancher.agent-entrypoint.role': 'agent' },
    State: 'exited',
  };
  const other = { Id: 'b', Names: ['/b'], State: 'exited', Labels: { mine: 'x', [system]: 'rancher-agent' } };

  it('is in a list with id, name and state, and only with the labels that are read; one warning names it', async () => {
    daemon.on('GET', '/containers/json', json(200, [entry, other]));
    const warnings: string[] = [];
    const engine = await connect({ ...silentLog, warn: (message) => warnings.push(message) });
    for (let count = 0; count < 2; count += 1) {
      expect(await engine.listContainers({ states: ['exited'] })).toEqual([
        {
          id,
          name: 'rancher-agent-previous',
          image: 'busybox',
          imageId: 'sha256:abc',
          command: 'sh',
          state: 'exited',
          labels: { 'io.rancher.agent-entrypoint.role': 'agent' },
          hasOtherLabels: true,
          createdAt: 1000,
        },
        expect.objectContaining({ id: 'b', labels: { [system]: 'rancher-agent' }, hasOtherLabels: true }),
      ]);
    }
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('rancher-agent-previous (ffffffffffff, busybox)');
  });

  it('is in a list by id with all labels if these are few', async () => {
    daemon.on('GET', '/containers/json', json(200, [other]));
    const [found] = await (await connect()).listContainers({ ids: ['b'] });
    expect(found).toMatchObject({ labels: { mine: 'x', [system]: 'rancher-agent' } });
    expect(found?.hasOtherLabels).toBeUndefined();
  });

  it('can be inspected, and shows nothing that would make it managed or a leak', async () => {
    const Config = { Image: 'rancher/agent:v1', Env: ['CATTLE_SECRET_KEY=x'], Labels: labels };
    const HostConfig = {
      Privileged: true,
      Binds: ['/var/run/docker.sock:/x'],
      RestartPolicy: { Name: 'no' },
    };
    const large = { ...details, Path: '/run.sh', Args: ['inspect-host'], Config, HostConfig };
    daemon.on('GET', `/containers/${id}/json`, json(200, large));
    const found = await (await connect()).inspectContainer(id);
    expect(found).toMatchObject({
      id,
      name: 'rancher-agent',
      state: 'running',
      image: 'rancher/agent:v1',
      restartPolicy: 'no',
      labels: {},
      environment: {},
      binds: [],
      command: ['/run.sh'],
    });
  });

  it('has an image and a volume with as many, and both can be inspected', async () => {
    daemon.on(
      'GET',
      '/images/x/json',
      json(200, { Id: 'sha256:abc', RepoTags: ['x'], Config: { Labels: labels } }),
    );
    daemon.on('GET', '/volumes/x', json(200, { Name: 'x', Labels: labels }));
    const engine = await connect();
    expect(await engine.inspectImage('x')).toMatchObject({ id: 'sha256:abc', repoTags: ['x'], labels: {} });
    expect(await engine.hasVolume('x')).toBe(true);
  });
});

it('a text that is cut in the middle of an escape hides no container', async () => {
  const big = { big: 'y'.repeat(70_000) };
  const repeated = ['\\', '\\\\', '"', '\n', '\u0001', '\\u12', '\\u0041', '\\x', '😀', 'é'];
  const entries = repeated.flatMap((part) =>
    Array.from({ length: 14 }, (_, index) => ({
      ...{ Id: id, Names: ['/x'], State: 'exited', Labels: big },
      Command: `${'a'.repeat(1_012 + index)}${part.repeat(200)}`,
    })),
  );
  const escaped = JSON.stringify(entries).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  for (const body of [JSON.stringify(entries), escaped]) {
    daemon.on('GET', '/containers/json', text(200, body));
    const found = await (await connect()).listContainers({ states: ['exited'] });
    expect(found).toHaveLength(entries.length);
    for (const { command } of found) expect(command).toMatch(/^a{1000,1024}[^…]*…$/su);
  }
});

it.each([10_000, 50_000])(
  'a list keeps no name, image, command or label of %i characters',
  async (length) => {
    const long = 'x'.repeat(length);
    const entry = { Id: id, Names: [`/${long}`], Image: long, Command: long, Labels: { [system]: long } };
    daemon.on('GET', '/containers/json', json(200, [entry]));
    const [found] = await (await connect()).listContainers({ states: ['created'] });
    for (const part of [found?.name, found?.image, found?.command, found?.labels[system]])
      expect(part).toMatch(/^x{1023,1024}…$/);
  },
);

it('every label that the program reads is kept of a list', () => {
  expect(Object.values(readLabels).filter((name) => !listedLabels.includes(name))).toEqual([]);
});
