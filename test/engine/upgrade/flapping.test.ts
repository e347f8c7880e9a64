import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'flapping-requirement' });
});
beforeEach(async () => {
  const result = await scene.register(images.a);
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  await scene.host.proxy.reset();
});
afterEach(async () => {
  scene.server.behaviour.bootstrapRun = 'runs-long';
  await scene.reset();
});
afterAll(async () => scene.close());

function created(name: string): number {
  return scene.host.proxy.requests.filter(
    ({ method, path, query }) =>
      method === 'POST' && path.endsWith('/containers/create') && query['name'] === name,
  ).length;
}

async function upgrade(image: string): ReturnType<Scene['upgrade']> {
  const result = await scene.upgrade(
    image,
    ...limits({ FLAPPING_RETURNS: 2, FLAPPING_PAUSE: 500, VERIFY: 1_000 }),
  );
  await scene.removeUpgradeContainer();
  return result;
}

/** As if the last upgrades had been that much longer ago. */
async function letTimePass(ms: number): Promise<void> {
  const file = `${scene.host.stateDir}/entrypoint/attempts.json`;
  const attempts = JSON.parse(await readFile(file, 'utf8')) as { history: { image: string; at: number }[] };
  const history = attempts.history.map(({ image, at }) => ({ image, at: at - ms }));
  await writeFile(file, JSON.stringify({ ...attempts, history }));
}

const turn =
  /flapping requirement: the images alternate \(rancher\/agent:test-a at 20\S+Z, rancher\/agent:test-b at 20/;

describe('two servers behind one address that require different images alternately', () => {
  it('upgrades by their scripts exit 75 after the second return to an image, and the agent is not touched', async () => {
    for (const image of [images.b, images.a, images.b]) {
      const result = await upgrade(image);
      expect(result, result.stderr).toMatchObject({ status: 0 });
    }
    const before = await scene.host.inspect('rancher-agent');
    await scene.host.proxy.reset();
    const refused = await upgrade(images.a);
    expect(refused, refused.stderr).toMatchObject({ status: 75 });
    expect(refused.stderr).toMatch(turn);
    expect(created('rancher-agent-next')).toBe(0);
    expect(await scene.host.inspect('rancher-agent')).toMatchObject({
      Id: before?.Id,
      RestartCount: 0,
      State: { Running: true, StartedAt: before?.State.StartedAt },
    });
    expect(await scene.readStatus()).toMatchObject({
      state: 'deferred',
      exitCode: 75,
      cause: 'flapping-requirement',
    });
    // Whoever asks for what runs anyway is not part of the quarrel.
    expect(await upgrade(images.b)).toMatchObject({ status: 0 });

    await letTimePass(3_600_000);
    const later = await upgrade(images.a);
    expect(later, later.stderr).toMatchObject({ status: 0 });
  });

  it('the agent follows them at most three times, and then creates no worker until they agree', async () => {
    await mkdir(`${scene.host.stateDir}/etc`, { recursive: true });
    await writeFile(`${scene.host.stateDir}/etc/agent.conf`, 'export AGENT_LIMIT_VERIFY=1000\n');
    scene.server.behaviour.bootstrapRun = 'exits';
    scene.server.setRequiredImage(images.b, images.a);
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    await scene.waitFor(
      'a state that names the quarrel',
      async () => ((await scene.readStatus())['cause'] === 'flapping-requirement' ? true : undefined),
      75,
    );
    expect(String((await scene.readStatus())['summary'])).toMatch(turn);
    expect(created('rancher-agent-next')).toBe(3);
    // Whoever restarts an agent that is still being verified has it taken back.
    await scene.settled();

    const workers = created('rancher-agent-worker');
    const running = (await scene.host.inspect('rancher-agent'))?.Config.Image ?? '';
    const refused = running === images.a ? images.b : images.a;
    scene.server.setRequiredImage(refused);
    for (let round = 0; round < 2; round += 1) {
      const begun = new Date().toISOString();
      await scene.host.docker('restart', '-t', '2', 'rancher-agent');
      // Not the bootstrap's request: the agent decides some time after it, by what `attempts.json` says then.
      await scene.waitFor('the next refusal', async () => {
        const { cause, updatedAt } = await scene.readStatus();
        return cause === 'flapping-requirement' && String(updatedAt) > begun ? true : undefined;
      });
    }
    expect(created('rancher-agent-worker')).toBe(workers);
    expect((await scene.host.inspect('rancher-agent'))?.Config.Image).toBe(running);

    scene.server.setRequiredImage(running);
    await letTimePass(3_600_000);
    await scene.host.docker('restart', '-t', '2', 'rancher-agent');
    await scene.waitFor('state ok', async () =>
      (await scene.readStatus())['state'] === 'ok' ? true : undefined,
    );
    expect((await scene.settled())[0]).toMatchObject({ image: running, state: 'running' });
  });
});
