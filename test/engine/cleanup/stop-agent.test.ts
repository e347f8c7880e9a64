import { describe, expect, it } from 'vitest';
import { leakHelpers, startOldAgent, stillThere } from '../../support/scenes/leaky-host.ts';
import { images, limits } from '../../support/scenes/scene.ts';
import { scene, stageHost, cleaner, socket, cleanup, reportOf, atRemoval } from './cleanup-stage.ts';

stageHost();

describe('a legacy agent whose loop leaks', () => {
  const age = { LEAK_GRACE: 0 };

  async function stateOfAgent(): Promise<string | undefined> {
    return (await scene.host.inspect('rancher-agent'))?.State.Status;
  }

  it('is reported; --stop-agent stops it for the time of the cleanup, and it is started again', async () => {
    const { host } = scene;
    const leaked = await leakHelpers(host, 60);
    const agent = await startOldAgent(host);
    await scene.waitFor('some more leaked helpers', async () =>
      (await host.containers()).length > 65 ? true : undefined,
    );
    const told = await cleanup(['--dry-run'], age);
    expect(told.stdout.replace(/\s+/g, ' ')).toMatch(/STILL LEAKING: .* from the loop of rancher-agent/);
    expect(await stateOfAgent()).toBe('running');

    let seen: string | undefined;
    let restarter: string | undefined;
    atRemoval(10, async () => {
      seen = await stateOfAgent();
      restarter = (await host.inspect('rancher-agent-restarter'))?.State.Status;
    });
    const result = await cleanup(['--yes', '--stop-agent', '--json'], age);
    expect(result, result.stderr).toMatchObject({ status: 0 });
    expect({ seen, restarter }).toEqual({ seen: 'exited', restarter: 'running' });
    expect(reportOf(result)).toMatchObject({ leaking: true, agentRunsAgain: true });
    expect((await host.inspect('rancher-agent'))?.Id).toBe(agent);
    expect(await stateOfAgent()).toBe('running');
    expect(await host.inspect('rancher-agent-restarter')).toBeUndefined();
    expect(await stillThere(host, leaked)).toEqual([]);
  });

  it.each([
    ['killed', undefined],
    ['killed, on an engine of the incident (API 1.22),', '1.22'],
  ])('runs again within seconds when the cleanup that stopped it is %s', async (_title, api) => {
    const { host } = scene;
    host.proxy.pinApi(api);
    const leaked = await leakHelpers(host, 60);
    const agent = await startOldAgent(host);
    atRemoval(10, async () => {
      expect(await stateOfAgent()).toBe('exited');
      await host.docker('kill', cleaner);
    });
    expect(await cleanup(['--yes', '--stop-agent'], age)).toMatchObject({ status: 137 });
    await scene.waitFor(
      'the agent',
      async () => ((await stateOfAgent()) === 'running' ? true : undefined),
      20,
    );
    expect((await host.inspect('rancher-agent'))?.Id).toBe(agent);
    await scene.waitFor('no agent restarter', async () =>
      (await host.inspect('rancher-agent-restarter')) === undefined ? true : undefined,
    );
    expect((await stillThere(host, leaked)).length).toBeGreaterThan(0);
  });

  it('runs again after a power cut that ends the cleanup and the agent restarter', async () => {
    const { host } = scene;
    await leakHelpers(host, 40);
    await startOldAgent(host);
    let isCut = false;
    atRemoval(10, async () => {
      await host.reboot();
      isCut = true;
    });
    await cleanup(['--yes', '--stop-agent'], age);
    await scene.waitFor('the agent', async () =>
      isCut && (await stateOfAgent().catch(() => '')) === 'running' ? true : undefined,
    );
    await scene.waitFor('no agent restarter', async () =>
      (await host.inspect('rancher-agent-restarter')) === undefined ? true : undefined,
    );
  });

  it('is not stopped from a container whose exit would not show the end of the cleanup', async () => {
    const { host } = scene;
    await leakHelpers(host, 1);
    await startOldAgent(host);
    const atOnce = limits({ SWEEP_AGE: 0 });
    const other = ['run', '--rm', ...socket, ...atOnce, '--entrypoint', 'sh', images.a, '-c'];
    const result = await host.tryDocker(...other, '/run.sh cleanup --yes --stop-agent');
    expect(result).toMatchObject({ status: 64 });
    expect(result.stderr).toContain('--stop-agent needs a container of its own');
    expect(await stateOfAgent()).toBe('running');
  });
});
