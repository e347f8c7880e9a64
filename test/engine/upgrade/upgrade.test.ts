import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { images, limits, startScene, upgradeArguments, type Scene } from '../../support/scenes/scene.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'upgrade' });
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

async function agentImage(): Promise<string | undefined> {
  return (await scene.host.inspect('rancher-agent'))?.Config.Image;
}

async function agentEnvironment(): Promise<readonly string[]> {
  return [...((await scene.host.inspect('rancher-agent'))?.Config.Env ?? [])]
    .filter((entry) => !entry.startsWith('RANCHER_AGENT_IMAGE='))
    .sort();
}

/** Names that were created since the proxy's record was emptied, the harness's own containers not counted. */
function creations(): readonly string[] {
  return scene.host.proxy.requests
    .filter((request) => request.method === 'POST' && request.path.endsWith('/containers/create'))
    .map((request) => request.query['name'] ?? '(generated)');
}

describe("an upgrade as the server's script starts it", () => {
  it('makes the new agent active with the keys of the old one, and leaves nothing else', async () => {
    const before = await agentEnvironment();
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect(result.stderr).toContain('INFO: ok: rancher-agent runs (rancher/agent:test-b)');
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ state: 'running', image: images.b });
    expect(await agentEnvironment()).toEqual(before);
    expect(creations()).toEqual(['rancher-agent-worker', 'rancher-agent-next']);
    expect(await scene.readStatus()).toMatchObject({
      version: 2,
      state: 'ok',
      exitCode: 0,
      target: images.b,
    });
  });

  it('does nothing when the agent already is what the upgrade would create', async () => {
    const before = await scene.host.inspect('rancher-agent');
    expect(await scene.upgrade(images.a)).toMatchObject({ status: 0 });
    expect((await scene.host.inspect('rancher-agent'))?.Id).toBe(before?.Id);
    expect(creations()).toEqual(['rancher-agent-worker']);
    await scene.removeUpgradeContainer();
    expect(await scene.names()).toEqual(['rancher-agent']);
  });

  /** The engine refuses these requests, as with a log driver that cannot be read. */
  function refuse(...ends: readonly string[]): void {
    scene.host.proxy.addRule({
      match: ({ path }) => ends.some((end) => path.endsWith(end)),
      action: {
        kind: 'answer',
        status: 500,
        body: { message: 'configured logging driver does not support reading' },
      },
    });
  }

  it('shows what the worker says also where its log cannot be read', async () => {
    refuse('/logs');
    const result = await scene.upgrade(images.b);
    expect(result).toMatchObject({ status: 0 });
    expect(result.stderr).toMatch(/creating rancher-agent-next from/);
    expect(result.stderr).not.toContain('cannot follow the log of the worker');
    await scene.removeUpgradeContainer();
  });

  it('says once that the log of the worker cannot be followed, and still waits for the worker to exit', async () => {
    refuse('/logs', '/attach');
    const result = await scene.upgrade(images.a);
    expect(result).toMatchObject({ status: 0 });
    expect(result.stderr.split('cannot follow the log of the worker').length).toBe(2);
    expect(result.stderr).toContain('does not support reading');
    await scene.removeUpgradeContainer();
  });

  it('never stops the old agent before the new one is up', async () => {
    const old = (await scene.host.inspect('rancher-agent'))?.Id ?? '';
    await scene.upgrade(images.b);
    const path = ({ path }: { path: string }): string => path;
    const changes = scene.host.proxy.requests.filter((request) => request.method !== 'GET').map(path);
    const next = (await scene.host.inspect('rancher-agent'))?.Id ?? '';
    const started = changes.findIndex((change) => change.endsWith(`${next}/start`));
    const stopped = changes.findIndex((change) => change.endsWith(`${old}/stop`));
    expect(started).toBeGreaterThan(-1);
    expect(stopped).toBeGreaterThan(started);
  });
});

describe.each([
  ['an engine of today', undefined],
  ['an engine without AutoRemove (API 1.22)', '1.22'],
])('on %s', (_title, api) => {
  beforeEach(() => {
    scene.host.proxy.pinApi(api);
  });

  it('an upgrade works and leaves nothing behind', async () => {
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ state: 'running', image: images.b });
  });

  it.each([200, 500, 1000, 2000])(
    'a caller that is killed after %i ms, ten times in a row, changes nothing: the upgrade converges',
    async (ms) => {
      scene.server.setRequiredImage(images.b);
      for (let round = 0; round < 10; round += 1) {
        // As an old server's script: by force, then detached, the next cycle a second later.
        await scene.removeUpgradeContainer();
        const [first = 'run', ...rest] = upgradeArguments(images.b);
        await scene.host.docker(first, '-d', ...rest);
        await sleep(ms);
        await scene.host.tryDocker('kill', '-s', 'KILL', 'rancher-agent-upgrade');
        await sleep(Math.max(0, 1000 - ms));
      }
      // On a busy machine 0.2 or 0.5 s may be too short for a caller to have the worker started. Then nothing was
      // touched, and the script's next cycle, which nobody kills, is the one that counts.
      await scene.removeUpgradeContainer();
      const isAtWork = (await scene.host.inspect('rancher-agent-worker'))?.State.Running === true;
      if (!isAtWork && (await agentImage()) !== images.b) {
        const [first = 'run', ...rest] = upgradeArguments(images.b);
        await scene.host.docker(first, '-d', ...rest);
      }
      await scene.waitFor('the new agent', async () =>
        (await agentImage()) === images.b ? true : undefined,
      );
      await scene.removeUpgradeContainer();
      // A later caller may have been killed between making a worker and starting it: the agent removes that.
      await scene.waitFor(
        'no worker',
        async () => ((await scene.names()).includes('rancher-agent-worker') ? undefined : true),
        150,
      );
      const [agent] = await scene.settled();
      expect(agent).toMatchObject({ state: 'running', image: images.b });
      expect(creations().filter((name) => name === 'rancher-agent-next')).toHaveLength(1);
      expect(new Set(creations())).toEqual(new Set(['rancher-agent-worker', 'rancher-agent-next']));
    },
    300_000,
  );
});

describe('an old agent that cannot be removed', () => {
  it.each(['run', 'upgrade'] as const)(
    'leaves the new one running and is named, until the fault is lifted and the next start of %s clears it',
    async (next) => {
      const old = (await scene.host.inspect('rancher-agent'))?.Id ?? '';
      await scene.host.makeUnremovable(old);
      const result = await scene.upgrade(
        images.b,
        ...limits({ REMOVE_PAUSE_MIN: 100, REMOVE_PAUSE_MAX: 1000 }),
      );
      expect(result, result.stderr).toMatchObject({ status: 73 });
      expect(result.stderr).toContain('cannot be removed: rancher-agent-previous');
      const status = await scene.readStatus();
      expect(status).toMatchObject({ state: 'degraded', exitCode: 73, cause: 'cannot-remove' });
      expect(status['unremovable']).toMatchObject([{ name: 'rancher-agent-previous', id: old }]);
      expect(JSON.stringify(status['originalMessage'])).toMatch(
        /failed to remove root filesystem|operation not permitted/,
      );
      const agent = (await scene.host.containers()).find(({ name }) => name === 'rancher-agent');
      expect(agent).toMatchObject({ state: 'running', image: images.b });
      const { requests } = scene.host.proxy;
      // Without AutoRemove the worker is removed as well.
      const isTry = ({ method, path }: (typeof requests)[number]): boolean =>
        method === 'DELETE' && path.endsWith(`/containers/${old}`);
      const firstTry = requests.findIndex(isTry);
      expect(requests.filter(isTry)).toHaveLength(5);
      expect(requests.length - firstTry).toBeLessThan(30);
      const spent = requests.filter(({ userAgent }) => /\((worker|upgrade)\)/.test(userAgent));
      // 58 on a quiet machine; a loaded one polls once or twice more while it verifies.
      expect(spent.length).toBeLessThan(64);

      await scene.host.makeRemovable(old);
      await scene.removeUpgradeContainer();
      if (next === 'run') await scene.host.docker('restart', 'rancher-agent');
      else expect(await scene.upgrade(images.b)).toMatchObject({ status: 0 });
      await scene.removeUpgradeContainer();
      await scene.settled();
      await scene.waitFor('state ok', async () =>
        (await scene.readStatus())['state'] === 'ok' ? true : undefined,
      );
    },
  );
});

describe('a dead next agent of an earlier upgrade that keeps its name, as on 1.10.3', () => {
  it('does not block an upgrade: the new one is created under a spare name, and the dead one is reported', async () => {
    const dead = await scene.host.docker('create', '--name', 'rancher-agent-next', images.broken, 'run');
    await scene.host.makeUnremovable(dead);
    expect(await scene.host.tryDocker('rm', dead)).toMatchObject({ status: 1 });
    // Of today's engines it could be inspected, and renamed out of the way.
    scene.host.proxy.addRule({
      match: ({ path }) => [`/containers/${dead}/json`, `/containers/${dead}/rename`].includes(path),
      action: { kind: 'answer', status: 404, body: `no such file: ${dead}/config.v2.json\n` },
    });
    const result = await scene.upgrade(images.b);
    expect(result, result.stderr).toMatchObject({ status: 73 });
    expect(creations()).toEqual(['rancher-agent-worker', 'rancher-agent-next-2']);
    const status = await scene.readStatus();
    expect(status).toMatchObject({ state: 'degraded', cause: 'cannot-remove' });
    expect(status['unremovable']).toMatchObject([{ name: 'rancher-agent-next', id: dead }]);
    await scene.removeUpgradeContainer();
    const [agent] = (await scene.settled('rancher-agent-next')).filter(
      ({ name }) => name === 'rancher-agent',
    );
    expect(agent).toMatchObject({ state: 'running', image: images.b });
    await scene.host.makeRemovable(dead);
  });
});

describe('a host that has nothing but a next agent that restarts again and again', () => {
  it('gets a working agent from the next upgrade', async () => {
    const result = await scene.register();
    expect(result, result.stderr).toMatchObject({ status: 0 });
    await scene.settled();
    const agent = await scene.host.inspect('rancher-agent');
    const keys = (agent?.Config.Env ?? []).filter((entry) => entry.startsWith('CATTLE_'));
    await scene.host.docker('rm', '-f', 'rancher-agent');
    await scene.host.docker(
      ...[
        'run',
        '-d',
        '--name',
        'rancher-agent-next',
        '--restart',
        'always',
        '--net',
        'host',
        '--privileged',
      ],
      ...['-v', '/var/run/docker.sock:/var/run/docker.sock', '-v', '/var/lib/rancher:/var/lib/rancher'],
      ...keys.flatMap((entry) => ['-e', entry]),
      ...[images.broken, 'run'],
    );
    await scene.waitFor('a crash loop', async () => {
      const next = await scene.host.inspect('rancher-agent-next');
      return (next?.RestartCount ?? 0) > 4 ? true : undefined;
    });
    const upgraded = await scene.upgrade(images.b);
    expect(upgraded, upgraded.stderr).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    await scene.settled();
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Config: { Image: images.b },
      State: { Running: true },
    });
  });
});

describe('a new image whose agent does not run', () => {
  it('leaves the old agent active, says so, and is not tried again at once', async () => {
    const old = (await scene.host.inspect('rancher-agent'))?.Id;
    const first = await scene.upgrade(images.broken, ...limits({ ATTEMPT_PAUSE_MIN: 4_000 }));
    expect(first, first.stderr).toMatchObject({ status: 73 });
    expect(await scene.readStatus()).toMatchObject({ state: 'failed', exitCode: 73 });
    await scene.removeUpgradeContainer();
    expect(await scene.names()).toEqual(['rancher-agent']);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Id: old, State: { Running: true } });

    const begun = Date.now();
    const second = await scene.upgrade(images.broken, ...limits({ ATTEMPT_PAUSE_MIN: 4_000 }));
    expect(second).toMatchObject({ status: 73 });
    expect(second.stderr).toMatch(/the last attempt at rancher\/agent:test-broken failed.*waiting/);
    const attempts = scene.host.proxy.requests.filter(({ path }) => path.endsWith('/containers/create'));
    expect(attempts.length).toBeLessThanOrEqual(4);
    expect(Date.now() - begun).toBeGreaterThan(2_000);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ Id: old, State: { Running: true } });
  });
});

describe('several callers at once', () => {
  it('two upgrades and two registrations leave one agent, and each of them exits with 0 or 75', async () => {
    const upgrade = (): ReturnType<Scene['upgrade']> =>
      scene.host.tryDocker(
        ...upgradeArguments(images.b)
          .map((word) => (word === '--name' ? '--rm' : word))
          .filter((word) => word !== 'rancher-agent-upgrade'),
      );
    scene.server.setRequiredImage('');
    const results = await Promise.all([
      upgrade(),
      scene.register(images.a),
      upgrade(),
      scene.register(images.a),
    ]);
    for (const result of results) expect([0, 75], result.stderr).toContain(result.status);
    const [agent] = await scene.settled();
    expect(agent?.state).toBe('running');
    expect(new Set(creations())).toEqual(new Set(['rancher-agent-worker', 'rancher-agent-next']));
  });
});

describe('an engine that does not answer at all', () => {
  it('ends the upgrade within a limited time and with a clear message, and the next start reaches the target', async () => {
    await scene.host.freezeEngine();
    const frozen = scene.host.tryProxiedDocker('version');
    setTimeout(() => void scene.host.thawEngine(), 20_000);
    await frozen;
    scene.host.proxy.addRule({
      match: (request) => request.userAgent.includes('(upgrade)'),
      action: { kind: 'hang' },
    });
    const [first = 'run', ...rest] = upgradeArguments(images.b, ...limits({ ENGINE_CONNECT: 1_000 }));
    const result = await scene.host.tryDocker(first, ...rest);
    expect(result, result.stderr).toMatchObject({ status: 69 });
    expect(result.stderr).toMatch(/ERROR: .*no answer within 1 s/);
    scene.host.proxy.clearRules();
    await scene.removeUpgradeContainer();
    expect(await scene.upgrade(images.b)).toMatchObject({ status: 0 });
    await scene.removeUpgradeContainer();
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ state: 'running', image: images.b });
  });
});
