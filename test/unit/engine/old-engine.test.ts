import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { observeRoles } from '../../../src/agent/transaction/observe.ts';
import type { Engine } from '../../../src/engine/engine.ts';
import { isEngineError } from '../../../src/engine/errors.ts';
import { clockWithoutPauses } from '../fakes/clocks.ts';
import { empty, FakeDaemon, json, text, type Answer } from '../fakes/fake-daemon.ts';
import { names } from '../fakes/role-names.ts';

/*
 * The engine of the incident, 1.10.3 (API 1.22), answering as engine-notes §2 records it, in what a new engine pinned to 1.22
 * does not imitate. What the sweep makes of it: cleanup/old-engine.test.ts; what callers of workers do:
 * agent/worker/client.test.ts.
 */
const id = 'd'.repeat(64);

let daemon: FakeDaemon;

beforeEach(async () => {
  daemon = await FakeDaemon.start();
  daemon.on('GET', '/version', json(200, { Version: '1.10.3', ApiVersion: '1.22', GitCommit: '20f81dd' }));
  daemon.on('HEAD', '/_ping', text(404, 'page not found\n'));
});
afterEach(async () => daemon.stop());

async function connect(apiVersion?: string): Promise<Engine> {
  return daemon.connect({
    apiVersion,
    clock: clockWithoutPauses,
  });
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** As the list of 1.10.3 shows a container: no `State`, no `Mounts`. */
function entry(name: string, Status: string, parts: object = {}): object {
  return {
    Id: id,
    Names: [`/${name}`],
    Image: 'rancher/agent:v1.0.2',
    ImageID: 'sha256:1',
    Command: '/run.sh run',
    Created: 1_467_331_200,
    Ports: [],
    Labels: {},
    Status,
    HostConfig: { NetworkMode: 'host' },
    NetworkSettings: { Networks: {} },
    ...parts,
  };
}

describe('the engine of the incident (1.10.3)', () => {
  it('has no HEAD /_ping and no Api-Version header: its version is asked for without a prefix', async () => {
    expect((await connect()).version).toEqual({ engine: '1.10.3', api: '1.22' });
    expect(daemon.seen.map(({ method, url }) => `${method} ${url.replace('?', '')}`)).toEqual([
      'GET /version',
    ]);
  });

  it('refuses a prefix newer than its own: none is ever sent, even to one who pins it', async () => {
    const refusal = 'client is newer than server (client API version: 1.41, server API version: 1.22)\n';
    daemon.on('GET', '/info', (response, seen) => {
      const isNewer = seen.url.startsWith('/v1.41');
      (isNewer ? text(400, refusal) : json(200, { Driver: 'overlay' }))(response, seen);
    });
    for (const pinned of [undefined, '1.22', '1.41']) {
      expect((await (await connect(pinned)).readInfo()).storageDriver).toBe('overlay');
    }
  });

  it.each([
    [404, 'no such id: nobody\n', 'not-found'],
    [
      409,
      'Conflict. The name "/a" is already in use by container 0123. You have to remove it.\n',
      'conflict',
    ],
    [500, 'Cannot start container d: Container is marked for removal and cannot be started.\n', 'failed'],
  ] as const)(
    'says what is wrong (%d) in plain text, which is kept word for word',
    async (status, words, kind) => {
      daemon.on('POST', `/containers/${id}/start`, text(status, words));
      const error = await errorOf((await connect()).startContainer(id));
      expect(isEngineError(error, kind) && error.originalMessage).toBe(words.trim());
    },
  );

  it.each([
    ['Up 3 minutes', 'running'],
    ['Up 3 minutes (Paused)', 'paused'],
    ['Restarting (1) 5 seconds ago', 'restarting'],
    ['Exited (137) 2 hours ago', 'exited'],
    ['Created', 'created'],
    ['Dead', 'dead'],
  ])('has no `State` in lists: "%s" is %s', async (status, state) => {
    daemon.on('GET', '/containers/json', json(200, [entry('rancher-agent', status)]));
    const [found] = await (await connect()).listContainers({ names: ['rancher-agent'] });
    expect(found).toMatchObject({ name: 'rancher-agent', state });
  });

  it('ignores filters that it does not know and lists everybody: looked through again', async () => {
    const everybody = [
      entry('rancher-agent', 'Up 3 minutes'),
      entry('rancher-agent-next-to-nothing', 'Up 3 minutes'),
      entry('web', 'Up 2 years', { Image: 'nginx' }),
      entry('', 'Dead', { Names: null }),
    ];
    daemon.on('GET', '/containers/json', json(200, everybody));
    const engine = await connect();
    const namesBy = async (filter: Parameters<Engine['listContainers']>[0]): Promise<string[]> =>
      (await engine.listContainers(filter)).map(({ name }) => name);
    expect(await namesBy({ names: ['rancher-agent', 'rancher-agent-next'] })).toEqual(['rancher-agent']);
    expect(await namesBy({ states: ['dead'] })).toEqual(['']);
    expect(await namesBy({ label: 'io.rancher.container.system=rancher-agent' })).toEqual([]);
  });

  it('answers `status=removing` with a 500: it is never asked for it', async () => {
    daemon.on('GET', '/containers/json', (response, seen) => {
      const asksForRemoving = decodeURIComponent(seen.url).includes('removing');
      (asksForRemoving ? text(500, 'Unrecognised filter value for status\n') : json(200, []))(response, seen);
    });
    expect(await (await connect()).listContainers({ states: ['dead', 'removing'] })).toEqual([]);
  });

  it('does not find a dead container that it lists (overlay): a dead container that holds its name, not a free name', async () => {
    daemon.on('GET', '/containers/json', json(200, [entry('rancher-agent-previous', 'Dead')]));
    daemon.on('GET', `/containers/${id}/json`, text(404, `no such id: ${id}\n`));
    const { previous } = await observeRoles(await connect(), names, Date.now);
    expect(previous[0]).toMatchObject({ name: 'rancher-agent-previous', isDead: true, managed: true });
  });

  it('finds it on other storage (vfs), with a 200 and `Dead`: the same dead container', async () => {
    const dead: Answer = json(200, {
      Id: id,
      Name: '/rancher-agent-previous',
      Image: 'sha256:1',
      State: { Status: 'dead', Running: false, Dead: true },
      Config: { Image: 'rancher/agent:v1.0.2', Env: ['A=1', 'BARE'], Labels: null },
      HostConfig: { Privileged: true, Binds: ['/var/run/docker.sock:/var/run/docker.sock'] },
    });
    daemon.on('GET', '/containers/json', json(200, [entry('rancher-agent-previous', 'Dead')]));
    daemon.on('GET', `/containers/${id}/json`, dead);
    const { previous } = await observeRoles(await connect(), names, Date.now);
    expect(previous[0]).toMatchObject({ isDead: true, managed: true, environment: { A: '1' } });
  });

  it('cannot rename a dead container, and says 404: that is a failure, its name stays taken', async () => {
    const words = `rename /var/lib/docker/containers/${id}/config.v2.json: no such file or directory`;
    daemon.on('POST', `/containers/${id}/rename`, text(404, `${words}\n`));
    const error = await errorOf((await connect()).renameContainer(id, 'rancher-agent-previous'));
    expect(isEngineError(error, 'not-found') && error.originalMessage).toBe(words);
  });

  it('forgets a container that it fails to remove by force: it is removed without', async () => {
    const words = 'Driver overlay failed to remove root filesystem: device or resource busy';
    daemon.on('DELETE', `/containers/${id}`, text(500, `${words}\n`));
    const error = await errorOf((await connect()).removeContainer(id, { force: false }));
    expect(isEngineError(error, 'failed') && error.originalMessage).toBe(words);
    expect(daemon.seen.at(-1)?.url).not.toContain('force');
  });

  it('stops a container that has stopped with 304, and a paused one not at all', async () => {
    daemon.on(
      'POST',
      `/containers/${id}/stop`,
      empty(304),
      text(500, `Container ${id} is paused. Unpause the container before stopping\n`),
    );
    const engine = await connect();
    await expect(engine.stopContainer(id, 0)).resolves.toBeUndefined();
    expect(isEngineError(await errorOf(engine.stopContainer(id, 0)), 'failed')).toBe(true);
  });

  it('pretends to change a restart policy: it is not asked to', async () => {
    daemon.on('POST', `/containers/${id}/update`, json(200, { Warnings: null }));
    await (await connect()).setRestartPolicy(id, 'no');
    expect(daemon.countOf('POST', `/containers/${id}/update`)).toBe(0);
  });
});
