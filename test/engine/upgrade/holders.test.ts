import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { images, limits, startScene, type Scene } from '../../support/scenes/scene.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'holders' });
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

interface UnremovableContainer {
  readonly name: string;
  readonly holders?: readonly {
    pid: number;
    command: string;
    container?: string;
    mountPoint: string;
  }[];
}

async function unremovable(): Promise<readonly UnremovableContainer[]> {
  return ((await scene.readStatus())['unremovable'] ?? []) as readonly UnremovableContainer[];
}

it('a monitor that holds the mounts of an old agent is named with pid and container while the agent cannot be removed', async () => {
  const registered = await scene.register(images.a);
  expect(registered, registered.stderr).toMatchObject({ status: 0 });
  await scene.settled();
  const old = (await scene.host.inspect('rancher-agent'))?.Id ?? '';
  // On the incident's kernels a bind of the Docker root was enough; this one lets go of such mounts by itself
  // (engine-notes §6), but not of the layer's own folder.
  const upper = await scene.host.docker('inspect', '-f', '{{.GraphDriver.Data.UpperDir}}', 'rancher-agent');
  await scene.host.docker(
    ...['run', '-d', '--name', 'monitor', '-v', `${upper}:/watched:ro`, images.base, 'sleep', '86400'],
  );
  await scene.host.makeUnremovable(old);
  const result = await scene.upgrade(images.b, ...limits({ REMOVE_TRIES: 1 }));
  expect(result, result.stderr).toMatchObject({ status: 73 });
  expect(result.stderr).toMatch(
    /what to do: rancher-agent-previous is held by sleep \(pid \d+, container monitor\): stop or restart that/,
  );
  const pid = (await scene.host.inspect('monitor'))?.State.Pid;
  const [container] = await unremovable();
  expect(container).toMatchObject({ name: 'rancher-agent-previous', id: old });
  expect(container?.holders).toMatchObject([
    { command: 'sleep', container: 'monitor', mountPoint: '/watched' },
  ]);
  expect(container?.holders?.[0]?.pid).toBe(pid);
  const status = await scene.host.docker('exec', 'rancher-agent', '/run.sh', 'status');
  expect(status).toMatch(/held by {4}sleep \(pid \d+, container monitor\): \/watched/);

  // The monitor goes, what makes the removal fail doesn't: nobody is accused any more.
  await scene.host.docker('rm', '-f', 'monitor', 'rancher-agent-upgrade');
  const again = await scene.upgrade(images.b, ...limits({ REMOVE_TRIES: 1 }));
  expect(again, again.stderr).toMatchObject({ status: 73 });
  expect((await unremovable()).map(({ holders }) => holders)).toEqual([undefined]);
  expect(again.stderr).not.toContain('is held by');
  await scene.host.makeRemovable(old);
});
