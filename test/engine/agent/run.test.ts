import { readFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bootstrapMarker, upgradeMarker } from '../../support/server/stub/stub-bootstrap.ts';
import { images, limits, quick, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Of an agent that the server knows from the start. */
const keys = { accessKey: 'TESTACCESSKEY0000001', secretKey: 'testsecretkey000000000000000000000000001' };

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'run', stub: { agents: [keys] } });
});
afterEach(async () => {
  Object.assign(scene.server.behaviour, {
    bootstrap: 'ok',
    bootstrapRun: 'runs-long',
    agentKeys: 'live',
    auth: 'off',
  });
  scene.server.setRequiredImage(images.a);
  await scene.reset();
});
afterAll(async () => scene.close());

/** Registered with image A, in office, alone. */
async function registered(): Promise<void> {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
}

/** An agent made by hand, with pauses short enough to see several. */
async function startAgent(...options: readonly string[]): Promise<void> {
  const pauses = {
    BOOTSTRAP_PAUSE_MIN: 400,
    BOOTSTRAP_PAUSE_MAX: 3_200,
    BOOTSTRAP_SPREAD: 0,
    CREDENTIALS_APART: 2_000,
    CREDENTIALS_PAUSE: 4_000,
  };
  await scene.startAgent(keys, ...limits(pauses), ...options);
}

async function agentLog(): Promise<string> {
  const { stdout, stderr } = await scene.host.tryDocker('logs', 'rancher-agent');
  return stdout + stderr;
}

async function logSays(text: string | RegExp): Promise<string> {
  return scene.waitFor(`the log says ${String(text)}`, async () => {
    const log = await agentLog();
    return (typeof text === 'string' ? log.includes(text) : text.test(log)) ? log : undefined;
  });
}

describe("the agent's run", () => {
  it("keeps the server's bootstrap running, with the host prepared for it", async () => {
    await registered();
    await logSays(bootstrapMarker);
    const inside = async (command: string): Promise<string> =>
      scene.host.docker('exec', 'rancher-agent', 'bash', '-c', command);
    expect(await inside('pgrep -c -x -f "sleep 86400"')).toBe('1');
    // A shared mount on the host, and only one however often the agent starts.
    await scene.host.docker('restart', '-t', '5', 'rancher-agent');
    await scene.waitFor('the second bootstrap', async () =>
      (await agentLog()).split(bootstrapMarker).length === 3 ? true : undefined,
    );
    const mounts = await inside('cat /proc/1/mountinfo');
    for (const folder of ['/var/lib/rancher/volumes', '/var/lib/kubelet']) {
      const lines = mounts.split('\n').filter((line) => line.split(' ')[4] === folder);
      expect(lines, folder).toHaveLength(1);
      expect(lines[0]).toMatch(/ shared:\d+ /);
    }
    expect(await scene.names()).toEqual(['rancher-agent']);
  });

  it('ends within the stop grace period and takes the bootstrap with it', async () => {
    await registered();
    await logSays(bootstrapMarker);
    const begun = Date.now();
    await scene.host.docker('stop', 'rancher-agent');
    expect(Date.now() - begun).toBeLessThan(8_000);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({ State: { ExitCode: 1 } });
  });

  it.each(['html', 'empty', 'json', 'truncated', 'no-shebang'] as const)(
    'never runs an answer that is %s, and asks less and less often',
    async (kind) => {
      scene.server.behaviour.bootstrap = kind;
      const before = scene.server.requestsTo('bootstrap').length;
      await startAgent();
      const requests = await scene.waitFor('five requests', () => {
        const found = scene.server.requestsTo('bootstrap').slice(before);
        return Promise.resolve(found.length >= 5 ? found : undefined);
      });
      const log = await agentLog();
      expect(log).not.toContain(bootstrapMarker);
      expect(log).not.toContain('running the bootstrap');
      expect(log).toContain('nothing was run');
      const gaps = requests.slice(1).map((request, index) => request.at - (requests[index]?.at ?? 0));
      expect(gaps.at(-1) ?? 0).toBeGreaterThan((gaps[0] ?? 0) * 1.5);
    },
  );

  it('upgrades once when the server requires another image, and the script starts no upgrade of its own', async () => {
    await registered();
    scene.server.setRequiredImage(images.b);
    await scene.host.proxy.reset();
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    await scene.waitFor('the new agent', async () =>
      (await scene.host.inspect('rancher-agent'))?.Config.Image === images.b ? true : undefined,
    );
    await logSays(bootstrapMarker);
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ image: images.b, state: 'running' });
    expect(await agentLog()).not.toContain(upgradeMarker);
    const created = scene.host.proxy.requests
      .filter(({ method, path }) => method === 'POST' && path.endsWith('/containers/create'))
      .map(({ query }) => query['name']);
    expect(created).toEqual(['rancher-agent-worker', 'rancher-agent-next']);
    expect(await scene.readStatus()).toMatchObject({ state: 'ok', target: images.b });
  });

  it('says that the host must be registered again when its keys are revoked, and pauses long', async () => {
    scene.server.behaviour.agentKeys = 'revoked';
    const before = scene.server.requestsTo('bootstrap').length;
    await startAgent();
    await logSays('register this host again');
    expect(await scene.readStatus()).toMatchObject({ state: 'failed', cause: 'keys-revoked', exitCode: 77 });
    expect(scene.server.requestsTo('bootstrap')).toHaveLength(before);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      RestartCount: 0,
      State: { Running: true },
    });
  });

  it('is not active under another name, and has the transaction reconciled instead', async () => {
    await registered();
    const old = (await scene.host.inspect('rancher-agent'))?.Id;
    // As an old engine does at boot: the set-aside one is started while the agent is there.
    await scene.host.docker('rename', 'rancher-agent', 'rancher-agent-previous');
    await scene.host.docker('restart', '-t', '2', 'rancher-agent-previous');
    const [agent] = await scene.settled();
    expect(agent).toMatchObject({ id: old, state: 'running' });
    await scene.waitFor('state ok', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
  });
});

describe('an agent whose image has lost its name', () => {
  it.each([
    ['moved to another image', async () => scene.host.docker('tag', images.broken, images.a)],
    ['removed', async () => scene.host.docker('rmi', '-f', images.a)],
  ])('still upgrades itself: the name was %s', async (_, loseName) => {
    await startAgent();
    await logSays(bootstrapMarker);
    const imageId = (await scene.host.inspect('rancher-agent'))?.Image;
    await loseName();
    scene.server.setRequiredImage(images.b);
    await scene.host.docker('restart', '-t', '1', 'rancher-agent');
    await scene.waitFor('the new agent', async () =>
      (await scene.host.inspect('rancher-agent'))?.Config.Image === images.b ? true : undefined,
    );
    const workers = scene.host.proxy.requests.filter(({ query }) => query['name'] === 'rancher-agent-worker');
    expect(workers[0]?.body).toMatchObject({ Image: imageId });
    await scene.settled();
  });
});

describe('an upgrade that failed', () => {
  it('is taken up again without a new bootstrap, as the server requires by then', async () => {
    scene.server.setRequiredImage(images.broken);
    await startAgent(...quick);
    await scene.waitFor('the failure', async () =>
      (await scene.readStatus().catch(() => undefined))?.['state'] === 'failed' ? true : undefined,
    );
    expect(await scene.names()).toContain('rancher-agent');
    const agent = await scene.host.inspect('rancher-agent');
    scene.server.setRequiredImage(images.b);
    await scene.waitFor('the new agent', async () =>
      (await scene.host.inspect('rancher-agent'))?.Config.Image === images.b ? true : undefined,
    );
    expect(agent).toMatchObject({ RestartCount: 0, Config: { Image: images.a } });
    await scene.settled();
    await scene.waitFor('state ok', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
  });
});

describe('a disk without a free byte', () => {
  /** Again and again, for a bootstrap that was under way gives the room of its script back. */
  const fill = async (folder: string): Promise<string> =>
    scene.host.docker(
      'exec',
      'rancher-agent',
      'sh',
      '-c',
      `cat /dev/zero >>${folder}/filler 2>/dev/null || true`,
    );
  const free = async (folder: string): Promise<string> =>
    scene.host.docker('exec', 'rancher-agent', 'rm', `${folder}/filler`);
  const ran = async (): Promise<number> => (await agentLog()).split(bootstrapMarker).length - 1;
  const runsAgain = async (): Promise<void> => {
    const before = await ran();
    await scene.waitFor('another bootstrap', async () => ((await ran()) > before ? true : undefined));
  };

  it('keeps the bootstrap going from memory; without that either, the state says so until there is room', async () => {
    scene.server.behaviour.bootstrapRun = 'exits';
    // File systems of the container's own, which it can fill.
    await startAgent(
      '--tmpfs',
      '/tmp:size=64k',
      '--mount',
      'type=tmpfs,destination=/host/dev/shm,tmpfs-size=65536',
    );
    await runsAgain();
    await scene.waitFor('a script in /dev/shm', async () => {
      await fill('/tmp');
      // Where each one was; itself it is there for milliseconds.
      const places = await readFile(`${scene.host.stateDir}/state/bootstrap-ran`, 'utf8').catch(() => '');
      return places.includes(' /dev/shm/agent-bootstrap-') ? true : undefined;
    });
    await runsAgain();
    await scene.waitFor('the state says so', async () => {
      await fill('/dev/shm');
      const status = await scene.readStatus().catch(() => undefined);
      return status?.['cause'] === 'no-room-for-bootstrap' ? true : undefined;
    });
    expect(await scene.readStatus()).toMatchObject({ state: 'failed', exitCode: 73 });
    await logSays('/dev/shm: no space or no inodes left');
    await free('/dev/shm');
    await runsAgain();
    await scene.waitFor('state ok', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
    const leftBehind = 'ls /tmp /dev/shm | grep -c bootstrap- || true';
    await scene.waitFor('nothing is left behind', async () =>
      (await scene.host.docker('exec', 'rancher-agent', 'sh', '-c', leftBehind)) === '0' ? true : undefined,
    );
    expect((await scene.host.inspect('rancher-agent'))?.RestartCount).toBe(0);
  });
});
