import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTenant } from '../../support/engine-proxy/tenant.ts';
import { images, startScene, type Scene } from '../../support/scenes/scene.ts';

let scene: Scene;

beforeAll(async () => {
  scene = await startScene({ name: 'tenant-state' });
});
beforeEach(() => {
  scene.server.setRequiredImage(images.oldA);
});
afterEach(async () => scene.reset());
afterAll(async () => scene.close());

describe('the state container of profile rancher-1.0', () => {
  it("leaves a tenant's state container with a mount of its own alone, and uses a spare name", async () => {
    const tenant = await openTenant(scene.host);
    try {
      // What the agent would run, if it got this container's volumes.
      const forged = await tenant.docker(
        ...['create', '--name', 'rancher-agent-state', '--label', 'io.rancher.agent-entrypoint.role=state'],
        ...['-v', '/var/lib/cattle', '-v', '/var/lib/rancher', '-v', '/var/log/rancher', '-v', '/usr/bin'],
        ...[images.oldA, 'state'],
      );
      const result = await scene.register(images.oldA);
      expect(result, result.stderr).toMatchObject({ status: 0 });
      expect(result.stderr).toMatch(/rancher-agent-state is not the state container: it is left alone/);
      await scene.only('rancher-agent', 'rancher-agent-state', 'rancher-agent-state-2');
      const agent = await scene.host.inspect('rancher-agent');
      expect(agent?.HostConfig.VolumesFrom).toEqual(['rancher-agent-state-2']);
      expect(agent?.Mounts.map(({ Destination }) => Destination)).not.toContain('/usr/bin');
      expect((await scene.host.inspect('rancher-agent-state'))?.Id).toBe(forged);
      const upgrade = await scene.upgrade(images.oldB);
      expect(upgrade, upgrade.stderr).toMatchObject({ status: 0 });
      await scene.only('rancher-agent', 'rancher-agent-state', 'rancher-agent-state-2');
    } finally {
      await tenant.close();
    }
  });

  it('names the containers that have all its names, before the server is asked', async () => {
    const names = ['rancher-agent-state', 'rancher-agent-state-2', 'rancher-agent-state-3'];
    for (const name of names) await scene.host.docker('create', '--name', name, images.base, 'true');
    const before = scene.server.registrations.length;
    const result = await scene.register(images.oldA);
    expect(result, result.stderr).toMatchObject({ status: 73 });
    for (const name of names) expect(result.stderr).toContain(`${name} (`);
    expect(await scene.readStatus()).toMatchObject({ state: 'failed', cause: 'role-name-taken' });
    await scene.only(...names);
    expect(scene.server.registrations).toHaveLength(before);
  });
});
