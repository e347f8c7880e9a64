import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { throwSwitch } from '../../support/server/stub/stub-switches.ts';
import { buildMs, requiredName } from '../../support/images/readiness-images.ts';
import { limits } from '../../support/scenes/scene.ts';
import { startReadinessStage, type ReadinessStageHost } from '../../support/scenes/readiness-stage.ts';
import type { CommandResult } from '../../support/host/host.ts';

/* What happens to a next agent in the phase `ready`: after a restart it goes on, and a removal is deferred. */
let stage: ReadinessStageHost;

beforeAll(async () => {
  stage = await startReadinessStage({ name: 'readiness-restarts' });
}, buildMs);
afterEach(async () => stage.reset());
afterAll(async () => stage.close());

const testMs = 180_000;

/**
 * READY and WORKER_TOTAL of the tests' images (8 s, 30 s) are over before a loaded machine has done to the next agent what a test
 * is about.
 */
const patience = { READY: 60_000, WORKER_TOTAL: 120_000 };

/** Begins an upgrade; its next agent is on standby and waits for its server. */
async function beginUpgrade(given = patience): Promise<{ readonly upgrade: Promise<CommandResult> }> {
  const { scene } = stage;
  await stage.provide('trusting');
  scene.server.setRequiredImage(requiredName);
  stage.whenNextStarts(async () => throwSwitch(scene.server, 'any:status=503'));
  const upgrade = scene.upgrade(requiredName, ...limits(given));
  await nextRuns();
  return { upgrade };
}

async function nextRuns(): Promise<number> {
  return stage.scene.waitFor('a next agent that runs', async () => {
    const next = await stage.scene.host.inspect('rancher-agent-next');
    return next?.State.Running === true && next.State.Pid > 0 ? next.State.Pid : undefined;
  });
}

describe('in the phase ready', () => {
  it(
    'a next agent that somebody restarts goes on',
    async () => {
      const { scene } = stage;
      await stage.startHardened();
      const running = await beginUpgrade();
      await scene.host.docker('restart', '--time', '3', 'rancher-agent-next');
      await scene.server.heal();
      scene.server.setRequiredImage(requiredName);
      await stage.expectUpgraded(await running.upgrade);
    },
    testMs,
  );

  it(
    'a next agent whose process is killed goes on',
    async () => {
      const { scene } = stage;
      await stage.startHardened();
      const running = await beginUpgrade();
      const pid = await nextRuns();
      await scene.host.tryDocker('exec', 'rancher-agent-next', 'sh', '-c', `kill -9 ${pid}`);
      await scene.waitFor(
        'a restart',
        async () =>
          ((await scene.host.inspect('rancher-agent-next'))?.RestartCount ?? 0) > 0 ? true : undefined,
        30,
      );
      await scene.server.heal();
      scene.server.setRequiredImage(requiredName);
      await stage.expectUpgraded(await running.upgrade);
    },
    testMs,
  );

  it.each([
    ['removes', ['rm', '-f'], 'next-removed'],
    ['stops', ['stop', '--time', '3'], 'next-stopped'],
  ] as const)(
    'somebody %s the next agent: deferred, the old one is not touched, and no image is at fault',
    async (_what, command, cause) => {
      const { scene } = stage;
      const old = await stage.startHardened();
      const running = await beginUpgrade();
      await scene.host.docker(...command, 'rancher-agent-next');
      const result = await running.upgrade;
      expect(result.status, result.stderr).toBe(75);
      const status = await scene.readStatus();
      expect(status, JSON.stringify(status)).toMatchObject({ state: 'deferred', cause });
      await scene.removeUpgradeContainer();
      await scene.settled();
      await stage.expectUntouched(old);
      // No back-off: the same image is tried at once.
      await scene.server.heal();
      scene.server.setRequiredImage(requiredName);
      await stage.expectUpgraded(await scene.upgrade(requiredName));
    },
    testMs,
  );

  it(
    'somebody stops the old agent, and the next one cannot serve: the state says that the old one was started again',
    async () => {
      const { scene } = stage;
      const old = await stage.startHardened();
      const running = await beginUpgrade({ ...patience, READY: 20_000 });
      await scene.host.docker('stop', '--time', '3', 'rancher-agent');
      const result = await running.upgrade;
      expect(result.status, result.stderr).toBe(75);
      const { summary } = await scene.readStatus();
      expect(summary).toContain('had been stopped by somebody else, was started again and runs');
      await scene.removeUpgradeContainer();
      await scene.settled();
      expect(await scene.host.inspect('rancher-agent')).toMatchObject({
        Id: old.id,
        State: { Running: true },
      });
    },
    testMs,
  );
});
