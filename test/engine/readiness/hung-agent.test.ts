import { afterAll, beforeAll, expect, it } from 'vitest';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

/** Longer than two heartbeats (10 s), so that one which stops at the start is too old by then. */
const watched = limits({ BOOTSTRAP_WATCH: 15_000, SERVING_STALE: 20_000 });

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'hung-agent' });
});
afterAll(async () => scene.close());

it('an upgrade does not count when the new agent hangs right after it began its bootstrap', async () => {
  expect(await scene.register()).toMatchObject({ status: 0 });
  const old = (await scene.host.inspect('rancher-agent'))?.Id;
  const upgrading = scene.upgrade(images.b, ...watched);
  const pid = await scene.waitFor('a new agent that runs its bootstrap', async () => {
    const agent = await scene.host.inspect('rancher-agent');
    if (agent === undefined || agent.Id === old || !agent.State.Running) return undefined;
    const record = await scene.host.tryDocker(
      ...['exec', 'rancher-agent', 'cat', '/run/rancher-agent-entrypoint/serving.json'],
    );
    return record.stdout.includes('runningSinceElapsed') ? agent.State.Pid : undefined;
  });
  await scene.host.docker('exec', 'rancher-agent', 'bash', '-c', `kill -STOP ${pid}`);
  const result = await upgrading;
  expect(result.stderr).toContain('has given no life sign for');
  expect(await scene.readStatus()).toMatchObject({ state: 'degraded', cause: 'serving-unknown' });
  // Nobody knows whether the new one comes back, so the old one is still there to return to.
  const names = await scene.names();
  expect(names).toContain('rancher-agent-previous');
  await scene.host.docker('exec', 'rancher-agent', 'bash', '-c', `kill -CONT ${pid}`);
});
