import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { throwSwitch } from '../../support/server/stub/stub-switches.ts';
import { buildMs, requiredName } from '../../support/images/readiness-images.ts';
import { startReadinessStage, type ReadinessStageHost } from '../../support/scenes/readiness-stage.ts';
import type { CommandResult } from '../../support/host/host.ts';

/*
 * What happens to a next agent, or to its server's answers, in the phase `ready`: a restart goes on, a removal is deferred, and one
 * bad answer is no proof against an image.
 */
let stage: ReadinessStageHost;

beforeAll(async () => {
  stage = await startReadinessStage({ name: 'readiness-restarts' });
}, buildMs);
afterEach(async () => stage.reset());
afterAll(async () => stage.close());

const testMs = 120_000;

/** Something is wrong from the start of the next agent on. */
function whenNextStarts(run: () => Promise<void>): void {
  stage.scene.host.proxy.addRule({
    match: ({ method, path, userAgent }) =>
      method === 'POST' && userAgent.includes('(worker)') && path.endsWith('/start'),
    times: 1,
    action: { kind: 'call', when: 'before', run },
  });
}

/** Begins an upgrade; its next agent is on standby and waits for its server. */
async function beginUpgrade(): Promise<{ readonly upgrade: Promise<CommandResult> }> {
  const { scene } = stage;
  await stage.provide('trusting');
  scene.server.setRequiredImage(requiredName);
  whenNextStarts(async () => throwSwitch(scene.server, 'any:status=503'));
  const upgrade = scene.upgrade(requiredName);
  await nextRuns();
  return { upgrade };
}

async function nextRuns(): Promise<number> {
  return stage.scene.waitFor('a next agent that runs', async () => {
    const next = await stage.scene.host.inspect('rancher-agent-next');
    return next?.State.Running === true && next.State.Pid > 0 ? next.State.Pid : undefined;
  });
}

async function expectUpgraded(result: CommandResult): Promise<void> {
  expect(result, result.stderr).toMatchObject({ status: 0 });
  await stage.scene.removeUpgradeContainer();
  await stage.upgraded(requiredName, 60);
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
      await expectUpgraded(await running.upgrade);
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
      await scene.waitFor('a restart', async () =>
        ((await scene.host.inspect('rancher-agent-next'))?.RestartCount ?? 0) > 0 ? true : undefined,
      );
      await scene.server.heal();
      scene.server.setRequiredImage(requiredName);
      await expectUpgraded(await running.upgrade);
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
      expect(await scene.readStatus()).toMatchObject({ state: 'deferred', cause });
      await scene.removeUpgradeContainer();
      await scene.settled();
      await stage.expectUntouched(old);
      // No back-off: the same image is tried at once.
      await scene.server.heal();
      scene.server.setRequiredImage(requiredName);
      await expectUpgraded(await scene.upgrade(requiredName));
    },
    testMs,
  );

  it(
    'somebody stops the old agent, and the next one cannot serve: the state says that the old one was started again',
    async () => {
      const { scene } = stage;
      const old = await stage.startHardened();
      const running = await beginUpgrade();
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

describe('answers that are not always the same', () => {
  it(
    'a script that is cut off for a moment is no failure',
    async () => {
      const { scene } = stage;
      await stage.startHardened();
      await stage.provide('trusting');
      scene.server.setRequiredImage(requiredName);
      whenNextStarts(async () => {
        scene.server.behaviour.bootstrap = 'truncated';
        setTimeout(() => {
          scene.server.behaviour.bootstrap = 'ok';
        }, 3_000);
        return Promise.resolve();
      });
      await expectUpgraded(await scene.upgrade(requiredName));
    },
    testMs,
  );

  it(
    'a script that is cut off for the old agent as well is deferred',
    async () => {
      const { scene } = stage;
      const old = await stage.startHardened();
      await stage.provide('trusting');
      whenNextStarts(async () => {
        scene.server.behaviour.bootstrap = 'truncated';
        return Promise.resolve();
      });
      const result = await scene.upgrade(requiredName);
      expect(result.status, result.stderr).toBe(75);
      expect(await scene.readStatus()).toMatchObject({ state: 'deferred', cause: 'ready-script-not-whole' });
      await scene.removeUpgradeContainer();
      await scene.settled();
      await stage.expectUntouched(old);
    },
    testMs,
  );

  it.each(['hardened', 'legacy'] as const)(
    'a load balancer whose every second server sends a page: deferred, from a %s agent',
    async (kind) => {
      const { scene } = stage;
      const old = kind === 'hardened' ? await stage.startHardened() : await stage.startLegacy();
      await stage.provide('trusting');
      whenNextStarts(async () => {
        for (let turn = 0; turn < 500; turn += 1)
          scene.server.fault('bootstrap', 'html200', { times: 1, after: 1 });
        return Promise.resolve();
      });
      const result = await scene.upgrade(requiredName);
      // The next agent may have had luck three times in a row; it is never refused.
      expect([0, 75], result.stderr).toContain(result.status);
      if (result.status === 0) return;
      expect((await scene.readStatus())['state']).toBe('deferred');
      await scene.removeUpgradeContainer();
      await stage.expectSameStart(old);
    },
    testMs,
  );
});
